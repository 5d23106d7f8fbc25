/*
 * Tables: columns with a kind, rows of values, printed as aligned text or as JSON. Whatever command shows rows shows
 * them through this, so that every `--json` has the same shape.
 *
 *	static const struct cop_column columns[] = {
 *		{"layer", COP_COLUMN_TEXT, 0},
 *		{"weights", COP_COLUMN_INT, 0},
 *		{"kept", COP_COLUMN_PERCENT, 1},
 *	};
 *	struct cop_table t;
 *	cop_table_init(&t, columns, 3);
 *	cop_table_text(&t, "fc1/weight");
 *	cop_table_int(&t, 235200);
 *	cop_table_real(&t, 0.21);
 *	cop_table_print(&t, stdout, json);
 *	cop_table_release(&t);
 */
#ifndef COP_REPORT_TABLE_H
#define COP_REPORT_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

struct cJSON;

enum cop_column_kind {
	COP_COLUMN_TEXT,    /* left-aligned */
	COP_COLUMN_INT,     /* the rest: right-aligned */
	COP_COLUMN_REAL,    /* `digits` behind the point */
	COP_COLUMN_GENERAL, /* `digits` significant ones */
	COP_COLUMN_PERCENT, /* a fraction, shown times 100 with `digits` behind the point; a fraction in JSON */
	COP_COLUMN_SHORT,   /* "25.7M"; the number in JSON */
	COP_COLUMN_BOOL     /* "yes" or "no"; left-aligned */
};

struct cop_column {
	const char *name; /* the heading, and the key in JSON */
	enum cop_column_kind kind;
	int digits;
};

struct cop_value {
	char *text; /* owned; NULL where there is none, or where the column is of numbers */
	int64_t i;
	double v;
	bool none;
};

struct cop_table {
	const struct cop_column *column; /* the caller's; must live as long as the table */
	size_t ncolumns;
	struct cop_value *value; /* row by row */
	size_t n, cap;           /* values */
};

void cop_table_init(struct cop_table *t, const struct cop_column *column, size_t ncolumns);
void cop_table_release(struct cop_table *t);

/*
 * Each adds the next value; a row is full after the last column. The kind must be the column's (else COP_BUG). Text is
 * copied and cleaned of control characters; NULL and NaN are no value: "-" in text, null in JSON.
 */
void cop_table_text(struct cop_table *t, const char *s);
void cop_table_int(struct cop_table *t, int64_t v);
void cop_table_real(struct cop_table *t, double v); /* REAL, GENERAL, PERCENT and SHORT */
void cop_table_bool(struct cop_table *t, bool v);
void cop_table_none(struct cop_table *t); /* any kind */

size_t cop_table_rows(const struct cop_table *t); /* full ones */

/*
 * Prints a heading and the rows, or a JSON list of objects, one a line, numbers in full precision. A write that fails
 * shows in ferror(out).
 */
void cop_table_print(const struct cop_table *t, FILE *out, bool json);

/* The same list as a value, to be put into a larger one; the caller deletes it. */
struct cJSON *cop_table_json(const struct cop_table *t);

#endif
