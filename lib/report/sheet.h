/*
 * A sheet: facts by name, then tables by name. What `show` says of a file, as text for people or as one JSON object.
 */
#ifndef COP_REPORT_SHEET_H
#define COP_REPORT_SHEET_H

#include "report/table.h"

struct cop_sheet_item {
	const char *name;        /* a constant */
	char *text;              /* as shown; NULL for a table */
	struct cJSON *json;      /* the same for --json; NULL for a table */
	struct cop_table *table; /* owned */
	bool block;              /* text of several lines */
};

/* Starts as {0}. */
struct cop_sheet {
	struct cop_sheet_item *item;
	size_t n, cap;
};

/* Names are constants: shown with spaces for their underscores, keys in JSON as they are. NULL and NaN: no value. */
void cop_sheet_text(struct cop_sheet *s, const char *name, const char *text);
void cop_sheet_int(struct cop_sheet *s, const char *name, int64_t v);
void cop_sheet_real(struct cop_sheet *s, const char *name, double v, int digits); /* `digits` significant */
void cop_sheet_percent(struct cop_sheet *s, const char *name, double v);          /* a fraction in JSON */
void cop_sheet_bytes(struct cop_sheet *s, const char *name, double v);            /* a number in JSON */
void cop_sheet_reals(struct cop_sheet *s, const char *name, const double *v, size_t n);
void cop_sheet_ints(struct cop_sheet *s, const char *name, const int64_t *v, size_t n);
void cop_sheet_json(struct cop_sheet *s, const char *name, const char *text); /* JSON text; in text mode a block */

/* An empty table at the sheet's end, to be filled; stays the sheet's. */
struct cop_table *cop_sheet_table(struct cop_sheet *s, const char *name, const struct cop_column *column,
				  size_t ncolumns);

void cop_sheet_print(const struct cop_sheet *s, FILE *out, bool json);
void cop_sheet_release(struct cop_sheet *s);

#endif
