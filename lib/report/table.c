/* Tables; see table.h. */
#include "report/table.h"

#include "base/err.h"
#include "base/mem.h"
#include "report/text.h"

#include <cjson/cJSON.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

void cop_table_init(struct cop_table *t, const struct cop_column *column, size_t ncolumns)
{
	*t = (struct cop_table){.column = column, .ncolumns = ncolumns};
}

void cop_table_release(struct cop_table *t)
{
	for (size_t i = 0; i < t->n; i++)
		free(t->value[i].text);
	free(t->value);
	*t = (struct cop_table){0};
}

static enum cop_column_kind next_kind(const struct cop_table *t)
{
	return t->column[t->n % t->ncolumns].kind;
}

static struct cop_value *add(struct cop_table *t, bool none)
{
	t->value = cop_grow(t->value, &t->cap, t->n + 1, sizeof(*t->value));
	struct cop_value *v = &t->value[t->n++];
	*v = (struct cop_value){.none = none};
	return v;
}

void cop_table_text(struct cop_table *t, const char *s)
{
	if (next_kind(t) != COP_COLUMN_TEXT)
		COP_BUG("text in a column of another kind");
	add(t, !s)->text = s ? cop_text_clean(s) : NULL;
}

void cop_table_int(struct cop_table *t, int64_t v)
{
	if (next_kind(t) != COP_COLUMN_INT)
		COP_BUG("a whole number in a column of another kind");
	add(t, false)->i = v;
}

void cop_table_real(struct cop_table *t, double v)
{
	enum cop_column_kind kind = next_kind(t);
	if (kind != COP_COLUMN_REAL && kind != COP_COLUMN_GENERAL && kind != COP_COLUMN_PERCENT &&
	    kind != COP_COLUMN_SHORT)
		COP_BUG("a real number in a column of another kind");
	add(t, isnan(v))->v = v;
}

void cop_table_bool(struct cop_table *t, bool v)
{
	if (next_kind(t) != COP_COLUMN_BOOL)
		COP_BUG("a truth value in a column of another kind");
	add(t, false)->i = v;
}

void cop_table_none(struct cop_table *t)
{
	add(t, true);
}

size_t cop_table_rows(const struct cop_table *t)
{
	return t->ncolumns ? t->n / t->ncolumns : 0;
}

static char *shown(const struct cop_column *c, const struct cop_value *v)
{
	char buf[COP_NUMBER_TEXT];
	if (v->none)
		return cop_xstrdup("-");
	switch (c->kind) {
	case COP_COLUMN_TEXT:
		return cop_xstrdup(v->text);
	case COP_COLUMN_INT:
		return cop_xasprintf("%" PRId64, v->i);
	case COP_COLUMN_REAL:
		return cop_xasprintf("%.*f", c->digits, v->v);
	case COP_COLUMN_GENERAL:
		return cop_xasprintf("%.*g", c->digits, v->v);
	case COP_COLUMN_PERCENT:
		return cop_xasprintf("%.*f", c->digits, 100 * v->v);
	case COP_COLUMN_SHORT:
		return cop_xstrdup(cop_text_short(v->v, buf));
	case COP_COLUMN_BOOL:
		return cop_xstrdup(v->i ? "yes" : "no");
	}
	COP_BUG("a column of no kind");
}

static void print_line(FILE *out, const struct cop_table *t, char *const *text, const size_t *width)
{
	struct cop_str line = {0};
	for (size_t c = 0; c < t->ncolumns; c++) {
		enum cop_column_kind kind = t->column[c].kind;
		bool right = kind != COP_COLUMN_TEXT && kind != COP_COLUMN_BOOL;
		if (c > 0)
			cop_str_add(&line, "  ");
		cop_text_pad(&line, text[c], width[c], right);
	}
	while (line.len > 0 && line.s[line.len - 1] == ' ')
		line.s[--line.len] = '\0';
	fprintf(out, "%s\n", line.s);
	cop_str_release(&line);
}

static void print_text(const struct cop_table *t, FILE *out)
{
	size_t rows = cop_table_rows(t), cols = t->ncolumns;
	char **text = cop_xcalloc((rows + 1) * cols, sizeof(*text));
	size_t *width = cop_xcalloc(cols, sizeof(*width));
	for (size_t i = 0; i < (rows + 1) * cols; i++) {
		size_t c = i % cols;
		text[i] = i < cols ? cop_xstrdup(t->column[c].name) : shown(&t->column[c], &t->value[i - cols]);
		size_t w = cop_text_width(text[i]);
		if (w > width[c])
			width[c] = w;
	}
	for (size_t r = 0; r <= rows; r++)
		print_line(out, t, text + r * cols, width);
	for (size_t i = 0; i < (rows + 1) * cols; i++)
		free(text[i]);
	free(text);
	free(width);
}

/* Numbers go in as text: cJSON's own keep 15 digits, and 53 bits of a whole number. */
static cJSON *json_value(const struct cop_column *c, const struct cop_value *v)
{
	char buf[COP_NUMBER_TEXT];
	if (v->none)
		return cJSON_CreateNull();
	switch (c->kind) {
	case COP_COLUMN_TEXT:
		return cJSON_CreateString(v->text);
	case COP_COLUMN_INT:
		snprintf(buf, sizeof(buf), "%" PRId64, v->i);
		return cJSON_CreateRaw(buf);
	case COP_COLUMN_BOOL:
		return cJSON_CreateBool(v->i != 0);
	default:
		return isfinite(v->v) ? cJSON_CreateRaw(cop_text_number(v->v, buf)) : cJSON_CreateNull();
	}
}

static cJSON *json_row(const struct cop_table *t, size_t row)
{
	cJSON *object = cJSON_CreateObject();
	for (size_t c = 0; c < t->ncolumns; c++)
		cJSON_AddItemToObject(object, t->column[c].name,
				      json_value(&t->column[c], &t->value[row * t->ncolumns + c]));
	return object;
}

struct cJSON *cop_table_json(const struct cop_table *t)
{
	cJSON *list = cJSON_CreateArray();
	for (size_t r = 0; r < cop_table_rows(t); r++)
		cJSON_AddItemToArray(list, json_row(t, r));
	return list;
}

static void print_json(const struct cop_table *t, FILE *out)
{
	fprintf(out, "[");
	for (size_t r = 0; r < cop_table_rows(t); r++) {
		cJSON *row = json_row(t, r);
		char *text = cJSON_PrintUnformatted(row);
		fprintf(out, "%s\n%s", r ? "," : "", text ? text : "null");
		cJSON_free(text);
		cJSON_Delete(row);
	}
	fprintf(out, "\n]\n");
}

void cop_table_print(const struct cop_table *t, FILE *out, bool json)
{
	if (json)
		print_json(t, out);
	else
		print_text(t, out);
}
