/* Texas Instruments LM3S6965 evaluation board, as QEMU 7.2 emulates it. Addresses: LM3S6965 data sheet (SPMS099). */
#include "board.h"

#include "../../hal.h"
#include "../cortex_m.h"

/* QEMU's system clock with the divider of reset, 200 MHz / 16. A real chip starts on its own, inexact oscillator. */
#define CLOCK_HZ 12500000u
#define BAUD 921600u

#define RCGC1 REGISTER(0x400FE104)
#define RCGC2 REGISTER(0x400FE108)
#define GPIOA_AFSEL REGISTER(0x40004420)
#define GPIOA_DEN REGISTER(0x4000451C)
#define UART_DR REGISTER(0x4000C000)
#define UART_FR REGISTER(0x4000C018)
#define UART_IBRD REGISTER(0x4000C024)
#define UART_FBRD REGISTER(0x4000C028)
#define UART_LCRH REGISTER(0x4000C02C)
#define UART_CTL REGISTER(0x4000C030)
#define UART_IM REGISTER(0x4000C038)
#define UART_ICR REGISTER(0x4000C044)
#define FR_RECEIVE_EMPTY (1u << 4)
#define FR_TRANSMIT_FULL (1u << 5)
#define UART_RECEIVED (1u << 4 | 1u << 6) /* the receive interrupt and its time-out */
#define TIMER_CFG REGISTER(0x40030000)
#define TIMER_TAMR REGISTER(0x40030004)
#define TIMER_CTL REGISTER(0x4003000C)
#define TIMER_IMR REGISTER(0x40030018)
#define TIMER_ICR REGISTER(0x40030024)
#define TIMER_TAILR REGISTER(0x40030028)

void hal_start(void)
{
    RCGC1 |= 1u << 16 | 1u; /* timer 0, UART 0 */
    RCGC2 |= 1u;            /* port A, which has the UART's pins */
    GPIOA_AFSEL |= 3u;
    GPIOA_DEN |= 3u;
    uint32_t divider = (CLOCK_HZ * 4u + BAUD / 2u) / BAUD; /* in 64ths: clock * 64 / (16 * baud) */
    UART_IBRD = divider / 64u;
    UART_FBRD = divider % 64u;
    UART_LCRH = 0x70; /* 8 bits, FIFOs */
    UART_IM = UART_RECEIVED;
    UART_CTL = 0x301; /* UART, transmitter, receiver */
    TIMER_CTL = 0;
    TIMER_CFG = 0;  /* 32 bits */
    TIMER_TAMR = 2; /* periodic */
    TIMER_TAILR = CLOCK_HZ / 4000u;
    TIMER_IMR = 1;
    TIMER_CTL = 1;
    cortex_start(BOARD_UART_INTERRUPT, BOARD_WAKE_INTERRUPT);
}

void uart_interrupt(void)
{
    UART_ICR = UART_RECEIVED;
    while (!(UART_FR & FR_RECEIVE_EMPTY)) {
        received_put((uint8_t)UART_DR);
    }
}

void wake_interrupt(void)
{
    TIMER_ICR = 1;
}

uint32_t hal_micros(void)
{
    return (uint32_t)(cortex_clocks() * 2u / (2u * CLOCK_HZ / 1000000u));
}

void hal_write(const uint8_t *data, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        while (UART_FR & FR_TRANSMIT_FULL) {
        }
        UART_DR = data[i];
    }
}
