/* Motion for boards without sensors: each swings about an axis of its own, and all its values fit together. */
#ifndef SIMULATED_MOTION_H
#define SIMULATED_MOTION_H

#include "hal.h"

void simulated_motion(uint8_t sensor, uint32_t at_us, struct hal_motion *motion);

#endif
