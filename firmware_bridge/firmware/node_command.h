/* What the host may ask of a node, and the state that it changes. */
#ifndef NODE_COMMAND_H
#define NODE_COMMAND_H

#include "hal.h"
#include "node_frame.h"

#define NODE_IDENTIFY 1u
#define NODE_START 2u
#define NODE_STOP 3u
#define NODE_RATE 4u
#define NODE_TIME_SYNC 5u
#define NODE_TARE 6u
#define NODE_FIELDS 7u

#define NODE_DONE 0u
#define NODE_UNKNOWN 1u
#define NODE_LENGTH 2u
#define NODE_VALUE 3u
#define NODE_FAILED 4u

#define NODE_HIGHEST_RATE_HZ 1000u
#define NODE_EVERY_SENSOR 0xFFu
#define NODE_LONGEST_ANSWER (8u + 16u)

/* A turn of the world about z, as half of its angle. */
struct node_turn {
    float cosine;
    float sine;
};

struct node {
    uint8_t sensors;
    uint16_t rate_hz;
    uint8_t fields;
    uint8_t running;
    uint8_t status_due;   /* a status frame was asked for */
    uint8_t schedule_due; /* rate or running changed: instants are counted from now */
    struct node_turn turns[NODE_MOST_SENSORS];
    float quaternions[NODE_MOST_SENSORS][4]; /* the sensors' own last orientations, without the turns; 0 where none */
};

void node_init(struct node *node, uint8_t sensors, uint16_t rate_hz, uint8_t fields);

/* Do what `body` asks. Writes the acknowledgement, which has room for NODE_LONGEST_ANSWER bytes, and returns its
 * length; 0 where `body` is no command. `micros` gives the device time. */
size_t node_command(struct node *node, const uint8_t *body, size_t length, uint32_t (*micros)(void), uint8_t *answer);

/* A sensor's values as they travel, its turn applied; remembers the orientation for a later tare. */
void node_record(struct node *node, uint8_t sensor, const struct hal_motion *motion, struct node_record *record);

#endif
