/* What a board must provide; everything else of the firmware is the same on all of them. */
#ifndef HAL_H
#define HAL_H

#include <stddef.h>
#include <stdint.h>

/* One sensor at one instant. Sensor axes; the world is right-handed with z up. */
struct hal_motion {
    float quaternion[4];       /* w, x, y, z, unit, sensor to world */
    float acceleration[3];     /* specific force, m/s^2 */
    float angular_velocity[3]; /* rad/s */
    float magnetic_field[3];   /* microtesla */
    uint8_t fields;            /* which of them the sensor has now, as NODE_QUATERNION and so on */
    uint8_t saturated;         /* 1: a value stands at the end of the sensor's range */
};

void hal_start(void);

/* Microseconds since the start, wrapping at 2^32; called at least once a second. */
uint32_t hal_micros(void);

/* Next byte that the host sent, or -1. */
int hal_read(void);

/* Send; returns when the bytes are sent or copied. */
void hal_write(const uint8_t *data, size_t length);

/* What sensor `sensor` read at `at_us`, up to a second ago: sensors keep that much in their own FIFOs. */
void hal_sense(uint8_t sensor, uint32_t at_us, struct hal_motion *motion);

/* Sleep until something may have happened, at most a quarter of a millisecond. */
void hal_idle(void);

/* Another number at each start, 1 to 255; 0 where the board cannot tell. */
uint8_t hal_boot(void);

/* Battery in steps of 0.5 %, 255 where there is none; temperature in 0.01 degrees Celsius, INT16_MIN where unknown. */
uint8_t hal_battery(void);
int16_t hal_temperature(void);

/* A serial number that no other node has. */
const char *hal_identity(void);

/* Show the user which node this is, with a lamp if there is one. */
void hal_blink(void);

#endif
