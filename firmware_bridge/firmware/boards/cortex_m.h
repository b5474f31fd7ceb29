/* What the Cortex-M3 boards share; register names and addresses are ARM's (ARMv7-M Architecture Reference Manual). */
#ifndef CORTEX_M_H
#define CORTEX_M_H

#include <stdint.h>

#define REGISTER(address) (*(volatile uint32_t *)(uintptr_t)(address))

/* Start SysTick as a free-running counter and let the interrupts `first` and `second` through. */
void cortex_start(unsigned first, unsigned second);

/* Processor clocks since cortex_start; called at least every 2^24 clocks. */
uint64_t cortex_clocks(void);

/* Bytes from the receive interrupt to the loop. A byte for which there is no room is lost; the frame's CRC tells. */
void received_put(uint8_t byte);
int received_get(void);

/* Written at the end of RAM by whoever powers the board; stands in for a counter in non-volatile memory. */
extern volatile uint8_t boot_number;

/* Provided by each board. */
void uart_interrupt(void);
void wake_interrupt(void);

#endif
