/* Frames of the wearable node: what docs/devices/node.md specifies, in portable C99 without allocation. */
#ifndef NODE_FRAME_H
#define NODE_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* First byte of a body. */
#define NODE_SAMPLES 0x01u
#define NODE_STATUS 0x02u
#define NODE_COMMAND 0x10u
#define NODE_ACKNOWLEDGEMENT 0x11u

/* Which values a record holds, in this order. */
#define NODE_QUATERNION 1u
#define NODE_ACCELERATION 2u
#define NODE_GYROSCOPE 4u
#define NODE_MAGNETOMETER 8u
#define NODE_ALL_FIELDS 15u

/* How many steps of a value on the wire make one unit. */
#define NODE_PER_UNIT 32767.0f           /* quaternion component */
#define NODE_PER_METRE_PER_SECOND2 200.0f /* acceleration */
#define NODE_PER_RADIAN_PER_SECOND 900.0f /* angular velocity */
#define NODE_PER_MICROTESLA 10.0f        /* magnetic field */
#define NODE_MISSING INT16_MIN           /* in every component: the sensor has no such value */

#define NODE_MOST_SENSORS 64u
#define NODE_LONGEST_BODY 512u
#define NODE_LONGEST_FRAME (1u + NODE_LONGEST_BODY + 2u + 3u + 1u) /* delimiter, body, CRC, COBS, delimiter */
#define NODE_LONGEST_COMMAND (3u + 16u)
#define NODE_LONGEST_TEXT 32u

struct node_header {
    uint8_t boot;       /* differs from the last start's; 0 where the node cannot tell */
    uint16_t sequence;  /* number of the instant */
    uint32_t device_us; /* when the sensors were read */
};

/* One sensor at one instant, as it travels. */
struct node_record {
    uint8_t index;
    uint8_t saturated; /* 1: a value stands at the end of the sensor's range */
    int16_t quaternion[4];
    int16_t acceleration[3];
    int16_t gyroscope[3];
    int16_t magnetometer[3];
};

struct node_status {
    struct node_header header;
    uint8_t started;     /* 1 in the first frame after the start */
    uint8_t running;     /* 1 while samples are sent */
    uint8_t charging;
    uint8_t battery;     /* steps of 0.5 %; 255 unknown */
    int16_t temperature; /* steps of 0.01 degrees Celsius; NODE_MISSING unknown */
    uint16_t rate_hz;
    uint8_t sensors;
    uint8_t fields;
    const char *identity; /* UTF-8, at most NODE_LONGEST_TEXT bytes of it are sent */
    const char *firmware;
};

/* `value` in steps of the wire, rounded; `*saturated` becomes 1 where the scale ends. Not a number becomes 0. */
int16_t node_quantise(float value, float per_unit, uint8_t *saturated);

/* Bytes of one record; records that fit into a body of `room` bytes. */
size_t node_record_size(uint8_t fields);
size_t node_records_that_fit(size_t room, uint8_t fields);

/* Write a body; give its length, or 0 where it does not fit into `room`. */
size_t node_encode_samples(uint8_t *body, size_t room, const struct node_header *header, uint8_t fields,
                           uint8_t sensors, const struct node_record *records, uint8_t count);
size_t node_encode_status(uint8_t *body, size_t room, const struct node_status *status);

/* CRC-16/IBM-3740. */
uint16_t node_crc16(const uint8_t *data, size_t length);

/* A body as it goes over a wire; gives the length, or 0 where it does not fit into `room`. */
size_t node_frame(uint8_t *frame, size_t room, const uint8_t *body, size_t length);

/* Takes bytes of a wire one by one and finds the commands among them; what is too long is passed over. */
struct node_receiver {
    uint8_t stuffed[NODE_LONGEST_COMMAND + 3u];
    uint8_t length;
    uint8_t overlong;
};

/* Give `byte` to the receiver. Returns the length of a body that it completed, written to `body`, which has room for
 * NODE_LONGEST_COMMAND + 2 bytes; else 0. */
size_t node_receive(struct node_receiver *receiver, uint8_t byte, uint8_t *body);

/* Little-endian numbers. */
void node_put16(uint8_t *out, uint16_t value);
void node_put32(uint8_t *out, uint32_t value);
uint16_t node_get16(const uint8_t *in);

#endif
