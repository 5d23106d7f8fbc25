/* JSON beside cJSON: parsing with the line of an error, and where in the text each key stands. */
#ifndef COP_BASE_JSON_H
#define COP_BASE_JSON_H

#include "base/err.h"

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The value of `text`, nothing but white space behind it; `name` in messages. COP_EINPUT names the line. */
int cop_json_parse(const char *text, const char *name, cJSON **json, struct cop_err *err) COP_CHECKED;

/* Reads and parses a file. COP_EINPUT. */
int cop_json_read(const char *path, cJSON **json, struct cop_err *err) COP_CHECKED;

/* Writes a file atomically, formatted. */
int cop_json_write(const char *path, const cJSON *json, struct cop_err *err) COP_CHECKED;

/*
 * Walks valid JSON text and calls `key` for each key of each object with its dotted path and its place. Objects inside
 * lists are not walked. Stops at the first non-zero answer and returns it.
 */
int cop_json_keys(const char *text, int (*key)(const char *path, const char *at, void *user), void *user);

/* Fields of an object, with a default where missing or of another type. The string stays the object's. */
const char *cop_json_str(const cJSON *object, const char *key, const char *otherwise);
double cop_json_num(const cJSON *object, const char *key, double otherwise);
bool cop_json_bool(const cJSON *object, const char *key, bool otherwise);

/*
 * A number for printing, in as many digits as read back the same double (cJSON's own lose the last bits; this is raw
 * text to it, so not to be asked for its value). NaN and infinities, which JSON lacks, become null.
 */
cJSON *cop_json_number(double v);
/* A copy for printing, all of its numbers in as many digits; the caller deletes it. */
cJSON *cop_json_exact(const cJSON *v);

void cop_json_add_num(cJSON *object, const char *key, double v);

#endif
