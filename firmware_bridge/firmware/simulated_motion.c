#include "simulated_motion.h"

#include <math.h>

#include "node_frame.h"

#define PI 3.14159265f
/* A power of two, so that the motion goes on where the clock wraps. */
#define PERIOD_US (1u << 21)
#define AMPLITUDE 1.0f /* rad */
#define GRAVITY 9.80665f
/* Horizontal north and vertical part of the magnetic field, microtesla; about that of central Europe. */
#define FIELD_NORTH 20.0f
#define FIELD_UP (-44.0f)

/* World to sensor: conj(q) v q, written with the rotation matrix's columns. */
static void into_sensor(const float *q, float east, float north, float up, float *out)
{
    float w = q[0], x = q[1], y = q[2], z = q[3];
    out[0] = (1 - 2 * (y * y + z * z)) * east + 2 * (x * y + w * z) * north + 2 * (x * z - w * y) * up;
    out[1] = 2 * (x * y - w * z) * east + (1 - 2 * (x * x + z * z)) * north + 2 * (y * z + w * x) * up;
    out[2] = 2 * (x * z + w * y) * east + 2 * (y * z - w * x) * north + (1 - 2 * (x * x + y * y)) * up;
}

void simulated_motion(uint8_t sensor, uint32_t at_us, struct hal_motion *motion)
{
    /* Neighbours are an eighth of a period apart. */
    uint32_t turn_us = (at_us + sensor * (PERIOD_US / 8u)) & (PERIOD_US - 1u);
    float phase = 2.0f * PI * (float)turn_us / (float)PERIOD_US;
    float angle = AMPLITUDE * sinf(phase);
    float speed = AMPLITUDE * 2.0f * PI * 1e6f / (float)PERIOD_US * cosf(phase);
    float axis[3] = {1.0f, (float)(sensor % 3u), (float)(sensor % 5u)};
    float length = sqrtf(axis[0] * axis[0] + axis[1] * axis[1] + axis[2] * axis[2]);
    float sine = sinf(0.5f * angle);
    motion->quaternion[0] = cosf(0.5f * angle);
    for (int i = 0; i < 3; i++) {
        motion->quaternion[i + 1] = axis[i] / length * sine;
        motion->angular_velocity[i] = axis[i] / length * speed;
    }
    into_sensor(motion->quaternion, 0.0f, 0.0f, GRAVITY, motion->acceleration);
    into_sensor(motion->quaternion, 0.0f, FIELD_NORTH, FIELD_UP, motion->magnetic_field);
    motion->fields = NODE_ALL_FIELDS;
    motion->saturated = 0;
}
