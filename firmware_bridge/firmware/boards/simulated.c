/* What the simulated boards share: a sensor that is computed, no battery, no lamp. A board of one's own has these in its board.c. */
#include "../hal.h"
#include "../simulated_motion.h"
#include "cortex_m.h"

int hal_read(void)
{
    return received_get();
}

void hal_sense(uint8_t sensor, uint32_t at_us, struct hal_motion *motion)
{
    simulated_motion(sensor, at_us, motion);
}

void hal_idle(void)
{
    __asm volatile("wfi");
}

uint8_t hal_boot(void)
{
    return boot_number;
}

uint8_t hal_battery(void)
{
    return 255;
}

int16_t hal_temperature(void)
{
    return INT16_MIN;
}

const char *hal_identity(void)
{
    return NODE_IDENTITY;
}

void hal_blink(void)
{
}
