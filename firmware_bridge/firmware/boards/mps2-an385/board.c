/* ARM MPS2 board with the Cortex-M3 image AN385, as QEMU emulates it. Addresses: ARM application note AN385. */
#include "board.h"

#include "../../hal.h"
#include "../cortex_m.h"

#define CLOCK_HZ 25000000u
#define BAUD 921600u

#define TIMER_CTRL REGISTER(0x40000000)
#define TIMER_VALUE REGISTER(0x40000004)
#define TIMER_RELOAD REGISTER(0x40000008)
#define TIMER_INTCLEAR REGISTER(0x4000000C)
#define UART_DATA REGISTER(0x40004000)
#define UART_STATE REGISTER(0x40004004)
#define UART_CTRL REGISTER(0x40004008)
#define UART_INTCLEAR REGISTER(0x4000400C)
#define UART_BAUDDIV REGISTER(0x40004010)
#define STATE_TRANSMIT_FULL 1u
#define STATE_RECEIVE_FULL 2u
#define RECEIVED 2u

void hal_start(void)
{
    UART_BAUDDIV = (CLOCK_HZ + BAUD / 2u) / BAUD;
    UART_CTRL = 1u | 2u | 8u; /* transmitter, receiver, receive interrupt */
    TIMER_RELOAD = CLOCK_HZ / 4000u - 1u;
    TIMER_VALUE = CLOCK_HZ / 4000u - 1u;
    TIMER_CTRL = 1u | 8u; /* running, with interrupt */
    cortex_start(BOARD_UART_INTERRUPT, BOARD_WAKE_INTERRUPT);
}

void uart_interrupt(void)
{
    UART_INTCLEAR = RECEIVED;
    while (UART_STATE & STATE_RECEIVE_FULL) {
        received_put((uint8_t)UART_DATA);
    }
}

void wake_interrupt(void)
{
    TIMER_INTCLEAR = 1;
}

uint32_t hal_micros(void)
{
    return (uint32_t)(cortex_clocks() / (CLOCK_HZ / 1000000u));
}

void hal_write(const uint8_t *data, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        while (UART_STATE & STATE_TRANSMIT_FULL) {
        }
        UART_DATA = data[i];
    }
}
