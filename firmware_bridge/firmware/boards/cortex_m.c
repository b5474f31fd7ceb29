#include "cortex_m.h"

#include <stddef.h>

#include "board.h"

#define SYST_CSR REGISTER(0xE000E010)
#define SYST_RVR REGISTER(0xE000E014)
#define SYST_CVR REGISTER(0xE000E018)
#define NVIC_ISER REGISTER(0xE000E100)
#define AIRCR REGISTER(0xE000ED0C)
#define COUNTER 0xFFFFFFu

extern uint32_t stack_top, data_load, data_start, data_end, bss_start, bss_end;
int main(void);

static void reset(void)
{
    uint32_t *from = &data_load;
    for (uint32_t *to = &data_start; to < &data_end;) {
        *to++ = *from++;
    }
    for (uint32_t *to = &bss_start; to < &bss_end;) {
        *to++ = 0;
    }
    main();
}

/* A node that has failed is useful again only after a restart, and the host notices that one. */
static void fault(void)
{
    AIRCR = 0x05FA0004;
    for (;;) {
    }
}

typedef void (*handler)(void);

__attribute__((section(".vectors"), used)) static const struct {
    uint32_t *stack;
    handler reset, nmi, hard_fault, memory_fault, bus_fault, usage_fault;
    handler others[9];
    handler interrupts[32];
} vectors = {
    .stack = &stack_top,
    .reset = reset,
    .nmi = fault,
    .hard_fault = fault,
    .memory_fault = fault,
    .bus_fault = fault,
    .usage_fault = fault,
    .interrupts = {[BOARD_UART_INTERRUPT] = uart_interrupt, [BOARD_WAKE_INTERRUPT] = wake_interrupt},
};

static uint64_t clocks;
static uint32_t last;

void cortex_start(unsigned first, unsigned second)
{
    SYST_RVR = COUNTER;
    SYST_CVR = 0;
    SYST_CSR = 5; /* enabled, on the processor's clock, without interrupt */
    while (SYST_CVR == 0) { /* it takes the reload value with its first clock */
    }
    last = COUNTER - SYST_CVR;
    NVIC_ISER = 1u << first | 1u << second;
}

/* Adds up what the counter has gone since the last call: a late or lost interrupt cannot make the clock wrong. */
uint64_t cortex_clocks(void)
{
    uint32_t now = COUNTER - SYST_CVR;
    clocks += (now - last) & COUNTER;
    last = now;
    return clocks;
}

static volatile uint8_t received[64];
static volatile uint8_t received_in, received_out;

void received_put(uint8_t byte)
{
    uint8_t next = (uint8_t)((received_in + 1u) % sizeof received);
    if (next != received_out) {
        received[received_in] = byte;
        received_in = next;
    }
}

int received_get(void)
{
    if (received_in == received_out) {
        return -1;
    }
    uint8_t byte = received[received_out];
    received_out = (uint8_t)((received_out + 1u) % sizeof received);
    return byte;
}
