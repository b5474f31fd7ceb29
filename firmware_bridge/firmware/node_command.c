#include "node_command.h"

#include <math.h>
#include <string.h>

/* Below this share of the x axis in the horizontal plane (6 degrees from vertical) it has no heading. */
#define LEAST_HORIZONTAL 0.1f

void node_init(struct node *node, uint8_t sensors, uint16_t rate_hz, uint8_t fields)
{
    memset(node, 0, sizeof *node);
    node->sensors = sensors;
    node->rate_hz = rate_hz;
    node->fields = fields;
    node->running = 1;
    node->schedule_due = 1;
    for (size_t i = 0; i < NODE_MOST_SENSORS; i++) {
        node->turns[i].cosine = 1.0f;
    }
}

/* The turn that brings the sensor's x axis over world x; 0 where it stands upright or there is no orientation. */
static int turn_of(const float *q, struct node_turn *turn)
{
    float east = q[0] * q[0] + q[1] * q[1] - q[2] * q[2] - q[3] * q[3];
    float north = 2.0f * (q[1] * q[2] + q[0] * q[3]);
    if (sqrtf(east * east + north * north) < LEAST_HORIZONTAL) {
        return 0;
    }
    float half = -0.5f * atan2f(north, east);
    turn->cosine = cosf(half);
    turn->sine = sinf(half);
    return 1;
}

static uint8_t tare(struct node *node, uint8_t sensor, uint8_t set)
{
    if (set > 1u || (sensor >= node->sensors && sensor != NODE_EVERY_SENSOR)) {
        return NODE_VALUE;
    }
    uint8_t first = sensor == NODE_EVERY_SENSOR ? 0 : sensor;
    uint8_t end = sensor == NODE_EVERY_SENSOR ? node->sensors : (uint8_t)(sensor + 1u);
    struct node_turn turn = {.cosine = 1.0f, .sine = 0.0f};
    for (uint8_t i = first; set && i < end; i++) { /* all or none */
        if (!turn_of(node->quaternions[i], &turn)) {
            return NODE_FAILED;
        }
    }
    for (uint8_t i = first; i < end; i++) {
        if (set) {
            turn_of(node->quaternions[i], &turn);
        }
        node->turns[i] = turn;
    }
    return NODE_DONE;
}

static uint8_t set_rate(struct node *node, uint16_t rate_hz)
{
    if (rate_hz == 0 || rate_hz > NODE_HIGHEST_RATE_HZ) {
        return NODE_VALUE;
    }
    node->rate_hz = rate_hz;
    node->schedule_due = 1;
    return NODE_DONE;
}

static uint8_t set_running(struct node *node, uint8_t running)
{
    node->schedule_due |= node->running != running;
    node->running = running;
    return NODE_DONE;
}

static uint8_t set_fields(struct node *node, uint8_t fields)
{
    if (fields == 0 || fields > NODE_ALL_FIELDS) {
        return NODE_VALUE;
    }
    node->fields = fields;
    return NODE_DONE;
}

/* Bytes of arguments that an order takes; -1: there is no such order. */
static int arguments_of(uint8_t order)
{
    switch (order) {
    case NODE_IDENTIFY:
    case NODE_START:
    case NODE_STOP:
        return 0;
    case NODE_RATE:
    case NODE_TARE:
        return 2;
    case NODE_TIME_SYNC:
        return 8;
    case NODE_FIELDS:
        return 1;
    default:
        return -1;
    }
}

size_t node_command(struct node *node, const uint8_t *body, size_t length, uint32_t (*micros)(void), uint8_t *answer)
{
    uint32_t taken_up_us = micros();
    if (length < 3u || length > NODE_LONGEST_COMMAND || body[0] != NODE_COMMAND) {
        return 0;
    }
    const uint8_t *arguments = body + 3;
    uint8_t *data = answer + 8;
    uint8_t result = NODE_DONE;
    uint8_t order = body[2];
    if (arguments_of(order) < 0) {
        result = NODE_UNKNOWN;
    } else if ((size_t)arguments_of(order) != length - 3u) {
        result = NODE_LENGTH;
    } else if (order == NODE_IDENTIFY) {
        node->status_due = 1;
        hal_blink();
    } else if (order == NODE_START || order == NODE_STOP) {
        result = set_running(node, order == NODE_START);
    } else if (order == NODE_RATE) {
        result = set_rate(node, node_get16(arguments));
        node_put16(data, node->rate_hz);
        data += 2;
    } else if (order == NODE_TIME_SYNC) {
        memcpy(data, arguments, 8);
        node_put32(data + 8, micros());
        data += 12;
    } else if (order == NODE_TARE) {
        result = tare(node, arguments[0], arguments[1]);
    } else {
        result = set_fields(node, arguments[0]);
        *data++ = node->fields;
    }
    answer[0] = NODE_ACKNOWLEDGEMENT;
    answer[1] = body[1];
    answer[2] = order;
    answer[3] = result;
    node_put32(answer + 4, taken_up_us);
    return result == NODE_DONE ? (size_t)(data - answer) : 8u;
}

static void quantise(int16_t *out, const float *values, size_t count, float per_unit, int present, uint8_t *saturated)
{
    for (size_t i = 0; i < count; i++) {
        out[i] = present ? node_quantise(values[i], per_unit, saturated) : NODE_MISSING;
    }
}

void node_record(struct node *node, uint8_t sensor, const struct hal_motion *motion, struct node_record *record)
{
    uint8_t fields = motion->fields;
    const struct node_turn *turn = &node->turns[sensor];
    const float *q = motion->quaternion;
    float turned[4] = {
        turn->cosine * q[0] - turn->sine * q[3],
        turn->cosine * q[1] - turn->sine * q[2],
        turn->cosine * q[2] + turn->sine * q[1],
        turn->cosine * q[3] + turn->sine * q[0],
    };
    for (size_t i = 0; i < 4; i++) {
        node->quaternions[sensor][i] = fields & NODE_QUATERNION ? q[i] : 0.0f;
    }
    uint8_t full_turn = 0; /* a component of 1 is no saturation */
    record->index = sensor;
    record->saturated = motion->saturated;
    quantise(record->quaternion, turned, 4, NODE_PER_UNIT, fields & NODE_QUATERNION, &full_turn);
    quantise(record->acceleration, motion->acceleration, 3, NODE_PER_METRE_PER_SECOND2, fields & NODE_ACCELERATION,
             &record->saturated);
    quantise(record->gyroscope, motion->angular_velocity, 3, NODE_PER_RADIAN_PER_SECOND, fields & NODE_GYROSCOPE,
             &record->saturated);
    quantise(record->magnetometer, motion->magnetic_field, 3, NODE_PER_MICROTESLA, fields & NODE_MAGNETOMETER,
             &record->saturated);
}
