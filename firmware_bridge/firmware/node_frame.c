#include "node_frame.h"

#include <math.h>
#include <string.h>

#define HEADER_SIZE 11u
#define STATUS_SIZE 16u

void node_put16(uint8_t *out, uint16_t value)
{
    out[0] = (uint8_t)value;
    out[1] = (uint8_t)(value >> 8);
}

void node_put32(uint8_t *out, uint32_t value)
{
    node_put16(out, (uint16_t)value);
    node_put16(out + 2, (uint16_t)(value >> 16));
}

uint16_t node_get16(const uint8_t *in)
{
    return (uint16_t)(in[0] | in[1] << 8);
}

int16_t node_quantise(float value, float per_unit, uint8_t *saturated)
{
    float steps = value * per_unit;
    if (steps >= 32767.0f || steps <= -32767.0f) {
        *saturated = 1;
        return steps > 0.0f ? INT16_MAX : -INT16_MAX;
    }
    return isnan(steps) ? 0 : (int16_t)lrintf(steps);
}

size_t node_record_size(uint8_t fields)
{
    size_t size = 1;
    size += fields & NODE_QUATERNION ? 8u : 0u;
    size += fields & NODE_ACCELERATION ? 6u : 0u;
    size += fields & NODE_GYROSCOPE ? 6u : 0u;
    size += fields & NODE_MAGNETOMETER ? 6u : 0u;
    return size;
}

size_t node_records_that_fit(size_t room, uint8_t fields)
{
    if (room > NODE_LONGEST_BODY) {
        room = NODE_LONGEST_BODY;
    }
    return room < HEADER_SIZE ? 0 : (room - HEADER_SIZE) / node_record_size(fields);
}

static void put_header(uint8_t *body, uint8_t type, const struct node_header *header)
{
    body[0] = type;
    body[1] = header->boot;
    node_put16(body + 2, header->sequence);
    node_put32(body + 4, header->device_us);
}

static uint8_t *put_values(uint8_t *at, const int16_t *values, size_t count)
{
    for (size_t i = 0; i < count; i++, at += 2) {
        node_put16(at, (uint16_t)values[i]);
    }
    return at;
}

size_t node_encode_samples(uint8_t *body, size_t room, const struct node_header *header, uint8_t fields,
                           uint8_t sensors, const struct node_record *records, uint8_t count)
{
    if (count == 0 || count > node_records_that_fit(room, fields)) {
        return 0;
    }
    put_header(body, NODE_SAMPLES, header);
    body[8] = fields;
    body[9] = sensors;
    body[10] = count;
    uint8_t *at = body + HEADER_SIZE;
    for (const struct node_record *record = records; record < records + count; record++) {
        *at++ = (uint8_t)(record->index | (record->saturated ? 0x80u : 0u));
        if (fields & NODE_QUATERNION) {
            at = put_values(at, record->quaternion, 4);
        }
        if (fields & NODE_ACCELERATION) {
            at = put_values(at, record->acceleration, 3);
        }
        if (fields & NODE_GYROSCOPE) {
            at = put_values(at, record->gyroscope, 3);
        }
        if (fields & NODE_MAGNETOMETER) {
            at = put_values(at, record->magnetometer, 3);
        }
    }
    return (size_t)(at - body);
}

/* Bytes of `text` to send: a character of UTF-8 is never cut. */
static size_t text_length(const char *text)
{
    size_t length = strlen(text);
    if (length <= NODE_LONGEST_TEXT) {
        return length;
    }
    length = NODE_LONGEST_TEXT;
    while (length > 0 && ((uint8_t)text[length] & 0xC0u) == 0x80u) {
        length--;
    }
    return length;
}

static uint8_t *put_text(uint8_t *at, const char *text, size_t length)
{
    *at++ = (uint8_t)length;
    memcpy(at, text, length);
    return at + length;
}

size_t node_encode_status(uint8_t *body, size_t room, const struct node_status *status)
{
    size_t identity = text_length(status->identity);
    size_t firmware = text_length(status->firmware);
    if (room < STATUS_SIZE + 2u + identity + firmware) {
        return 0;
    }
    put_header(body, NODE_STATUS, &status->header);
    body[8] = (uint8_t)((status->started ? 1u : 0u) | (status->running ? 2u : 0u) | (status->charging ? 4u : 0u));
    body[9] = status->battery;
    node_put16(body + 10, (uint16_t)status->temperature);
    node_put16(body + 12, status->rate_hz);
    body[14] = status->sensors;
    body[15] = status->fields;
    uint8_t *at = put_text(body + STATUS_SIZE, status->identity, identity);
    at = put_text(at, status->firmware, firmware);
    return (size_t)(at - body);
}

/* Four bits at a time: sixteen entries are a good trade between flash and speed on a small processor. */
static uint16_t crc16_step(uint16_t crc, uint8_t byte)
{
    static const uint16_t table[16] = {
        0x0000, 0x1021, 0x2042, 0x3063, 0x4084, 0x50A5, 0x60C6, 0x70E7,
        0x8108, 0x9129, 0xA14A, 0xB16B, 0xC18C, 0xD1AD, 0xE1CE, 0xF1EF,
    };
    crc = (uint16_t)(crc << 4) ^ table[(crc >> 12 ^ byte >> 4) & 0x0Fu];
    return (uint16_t)(crc << 4) ^ table[(crc >> 12 ^ byte) & 0x0Fu];
}

uint16_t node_crc16(const uint8_t *data, size_t length)
{
    uint16_t crc = 0xFFFF;
    for (size_t i = 0; i < length; i++) {
        crc = crc16_step(crc, data[i]);
    }
    return crc;
}

/* Where COBS stands while a frame is written: `code` is the place of the byte that says where the next zero is. */
struct stuffing {
    uint8_t *code;
    uint8_t *at;
};

static void stuff(struct stuffing *s, uint8_t byte)
{
    /* A full group ends only when more follows, as the encoders of the cobs package and of the paper do. */
    if (s->at - s->code == 0xFF) {
        *s->code = 0xFF;
        s->code = s->at++;
    }
    if (byte != 0) {
        *s->at++ = byte;
        return;
    }
    *s->code = (uint8_t)(s->at - s->code);
    s->code = s->at++;
}

size_t node_frame(uint8_t *frame, size_t room, const uint8_t *body, size_t length)
{
    size_t stuffed = length + 2u + (length + 2u + 253u) / 254u;
    if (length == 0 || length > NODE_LONGEST_BODY || room < stuffed + 2u) {
        return 0;
    }
    uint16_t crc = node_crc16(body, length);
    frame[0] = 0;
    struct stuffing s = {.code = frame + 1, .at = frame + 2};
    for (size_t i = 0; i < length; i++) {
        stuff(&s, body[i]);
    }
    stuff(&s, (uint8_t)crc);
    stuff(&s, (uint8_t)(crc >> 8));
    *s.code = (uint8_t)(s.at - s.code);
    *s.at++ = 0;
    return (size_t)(s.at - frame);
}

/* COBS back to bytes, shorter than what came in; 0 where it is none. */
static size_t unstuff(uint8_t *out, const uint8_t *in, size_t length)
{
    size_t from = 0, to = 0;
    while (from < length) {
        size_t code = in[from++];
        if (from + code - 1u > length) {
            return 0;
        }
        for (size_t i = 1; i < code; i++) {
            out[to++] = in[from++];
        }
        if (code < 0xFFu && from < length) {
            out[to++] = 0;
        }
    }
    return to;
}

size_t node_receive(struct node_receiver *receiver, uint8_t byte, uint8_t *body)
{
    if (byte != 0) {
        if (receiver->length < sizeof receiver->stuffed) {
            receiver->stuffed[receiver->length++] = byte;
        } else {
            receiver->overlong = 1;
        }
        return 0;
    }
    size_t length = receiver->overlong ? 0 : unstuff(body, receiver->stuffed, receiver->length);
    receiver->length = 0;
    receiver->overlong = 0;
    if (length < 3u || length > NODE_LONGEST_COMMAND + 2u) {
        return 0;
    }
    length -= 2u;
    return node_crc16(body, length) == node_get16(body + length) ? length : 0;
}
