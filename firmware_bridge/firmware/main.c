/* The node's loop: take commands, read the sensors when they are due, say how it is. */
#include "hal.h"
#include "node_command.h"
#include "node_frame.h"

#ifndef NODE_SENSORS
#define NODE_SENSORS 1
#endif
#ifndef NODE_RATE_HZ
#define NODE_RATE_HZ 100
#endif
#ifndef NODE_DEFAULT_FIELDS
#define NODE_DEFAULT_FIELDS (NODE_QUATERNION | NODE_ACCELERATION | NODE_GYROSCOPE)
#endif
#define NODE_VERSION "1.0.0"
#define STATUS_PERIOD_US 10000000u
/* How far the loop may lag behind its sensors, whose own FIFOs hold the readings meanwhile; older ones are lost. */
#define LONGEST_LAG_US 1000000u

#if NODE_SENSORS < 1 || NODE_SENSORS > 64
#error "NODE_SENSORS is 1 to 64"
#endif
#if NODE_RATE_HZ < 1 || NODE_RATE_HZ > 1000
#error "NODE_RATE_HZ is 1 to 1000"
#endif

static struct node node;
static struct node_receiver receiver;
static struct node_record records[NODE_SENSORS];
static uint8_t body[NODE_LONGEST_BODY];
static uint8_t frame[NODE_LONGEST_FRAME];
static uint16_t sequence;

/* When the next instant is due. `fraction` / rate is the part of a microsecond. */
static uint32_t due_us;
static uint32_t fraction;

static void send(const uint8_t *what, size_t length)
{
    hal_write(frame, node_frame(frame, sizeof frame, what, length));
}

static void send_status(uint32_t now_us, uint8_t started)
{
    struct node_status status = {
        .header = {.boot = hal_boot(), .sequence = sequence, .device_us = now_us},
        .started = started,
        .running = node.running,
        .battery = hal_battery(),
        .temperature = hal_temperature(),
        .rate_hz = node.rate_hz,
        .sensors = NODE_SENSORS,
        .fields = node.fields,
        .identity = hal_identity(),
        .firmware = NODE_VERSION,
    };
    send(body, node_encode_status(body, sizeof body, &status));
}

static void send_samples(uint32_t at_us)
{
    for (uint8_t i = 0; i < NODE_SENSORS; i++) {
        struct hal_motion motion;
        hal_sense(i, at_us, &motion);
        node_record(&node, i, &motion, &records[i]);
    }
    struct node_header header = {.boot = hal_boot(), .sequence = sequence, .device_us = at_us};
    size_t fit = node_records_that_fit(sizeof body, node.fields);
    for (size_t first = 0; first < NODE_SENSORS; first += fit) {
        size_t count = NODE_SENSORS - first < fit ? NODE_SENSORS - first : fit;
        send(body, node_encode_samples(body, sizeof body, &header, node.fields, NODE_SENSORS, records + first,
                                       (uint8_t)count));
    }
}

/* To the next instant; those that the sensors hold no more were missed, and count. */
static void advance(uint32_t now_us)
{
    do {
        sequence++;
        due_us += 1000000u / node.rate_hz;
        fraction += 1000000u % node.rate_hz;
        if (fraction >= node.rate_hz) {
            fraction -= node.rate_hz;
            due_us++;
        }
    } while ((int32_t)(now_us - due_us) >= (int32_t)LONGEST_LAG_US);
}

static void take_commands(void)
{
    uint8_t command[NODE_LONGEST_COMMAND + 2u];
    uint8_t answer[NODE_LONGEST_ANSWER];
    for (int byte = hal_read(); byte >= 0; byte = hal_read()) {
        size_t length = node_receive(&receiver, (uint8_t)byte, command);
        if (length != 0) {
            length = node_command(&node, command, length, hal_micros, answer);
        }
        if (length != 0) {
            send(answer, length);
        }
    }
}

int main(void)
{
    hal_start();
    node_init(&node, NODE_SENSORS, NODE_RATE_HZ, NODE_DEFAULT_FIELDS);
    uint32_t status_us = hal_micros();
    send_status(status_us, 1);
    for (;;) {
        take_commands();
        uint32_t now_us = hal_micros();
        if (node.schedule_due) {
            node.schedule_due = 0;
            due_us = now_us;
            fraction = 0;
        }
        if (node.status_due || now_us - status_us >= STATUS_PERIOD_US) {
            node.status_due = 0;
            status_us = now_us;
            send_status(now_us, 0);
        }
        if (node.running && (int32_t)(now_us - due_us) >= 0) {
            send_samples(due_us);
            advance(now_us);
        } else {
            hal_idle();
        }
    }
}
