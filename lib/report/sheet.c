/* Sheets; see sheet.h. */
#include "report/sheet.h"

#include "base/mem.h"
#include "report/text.h"

#include <cjson/cJSON.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static struct cop_sheet_item *add(struct cop_sheet *s, const char *name, char *text, cJSON *json)
{
	s->item = cop_grow(s->item, &s->cap, s->n + 1, sizeof(*s->item));
	struct cop_sheet_item *item = &s->item[s->n++];
	*item = (struct cop_sheet_item){.name = name, .text = text, .json = json};
	return item;
}

static cJSON *number(double v)
{
	char buf[COP_NUMBER_TEXT];
	return isfinite(v) ? cJSON_CreateRaw(cop_text_number(v, buf)) : cJSON_CreateNull();
}

static cJSON *whole(int64_t v)
{
	char buf[COP_NUMBER_TEXT];
	snprintf(buf, sizeof(buf), "%" PRId64, v);
	return cJSON_CreateRaw(buf);
}

void cop_sheet_text(struct cop_sheet *s, const char *name, const char *text)
{
	char *clean = cop_text_clean(text ? text : "-");
	add(s, name, clean, text ? cJSON_CreateString(clean) : cJSON_CreateNull());
}

void cop_sheet_int(struct cop_sheet *s, const char *name, int64_t v)
{
	char buf[COP_NUMBER_TEXT];
	add(s, name, cop_xstrdup(cop_text_count(v, buf)), whole(v));
}

void cop_sheet_real(struct cop_sheet *s, const char *name, double v, int digits)
{
	add(s, name, isnan(v) ? cop_xstrdup("-") : cop_xasprintf("%.*g", digits, v), number(v));
}

void cop_sheet_percent(struct cop_sheet *s, const char *name, double v)
{
	add(s, name, isnan(v) ? cop_xstrdup("-") : cop_xasprintf("%.2f %%", 100 * v), number(v));
}

void cop_sheet_bytes(struct cop_sheet *s, const char *name, double v)
{
	char buf[COP_NUMBER_TEXT];
	add(s, name, cop_xstrdup(isnan(v) ? "-" : cop_text_bytes(v, buf)), number(v));
}

void cop_sheet_reals(struct cop_sheet *s, const char *name, const double *v, size_t n)
{
	struct cop_str b = {0};
	cJSON *list = cJSON_CreateArray();
	for (size_t i = 0; i < n; i++) {
		cop_str_addf(&b, "%s%.6g", i ? ", " : "", v[i]);
		cJSON_AddItemToArray(list, number(v[i]));
	}
	add(s, name, n ? cop_str_take(&b) : cop_xstrdup("-"), list);
}

void cop_sheet_ints(struct cop_sheet *s, const char *name, const int64_t *v, size_t n)
{
	struct cop_str b = {0};
	cJSON *list = cJSON_CreateArray();
	for (size_t i = 0; i < n; i++) {
		cop_str_addf(&b, "%s%" PRId64, i ? ", " : "", v[i]);
		cJSON_AddItemToArray(list, whole(v[i]));
	}
	add(s, name, n ? cop_str_take(&b) : cop_xstrdup("none"), list);
}

/* Cleaned line by line: the ends of lines are control characters too. */
static char *clean_block(const char *text)
{
	struct cop_str b = {0};
	for (const char *p = text; *p;) {
		size_t n = strcspn(p, "\n");
		struct cop_str line = {0};
		for (size_t i = 0; i < n; i++)
			cop_str_addn(&line, p[i] == '\t' ? "  " : &p[i], p[i] == '\t' ? 2 : 1);
		char *clean = cop_text_clean(line.s ? line.s : "");
		cop_str_addf(&b, "%s\n", clean);
		free(clean);
		cop_str_release(&line);
		p += n + (p[n] == '\n');
	}
	return cop_str_take(&b);
}

void cop_sheet_json(struct cop_sheet *s, const char *name, const char *text)
{
	cJSON *json = cJSON_Parse(text);
	add(s, name, clean_block(text), json ? json : cJSON_CreateNull())->block = true;
}

struct cop_table *cop_sheet_table(struct cop_sheet *s, const char *name, const struct cop_column *column,
				  size_t ncolumns)
{
	struct cop_table *t = cop_xmalloc(sizeof(*t));
	cop_table_init(t, column, ncolumns);
	add(s, name, NULL, NULL)->table = t;
	return t;
}

/* "test_top1" as "test top1"; the caller frees. */
static char *spoken(const char *name)
{
	char *s = cop_xstrdup(name);
	for (char *p = s; *p; p++)
		if (*p == '_')
			*p = ' ';
	return s;
}

static void print_facts(const struct cop_sheet *s, FILE *out)
{
	size_t width = 0;
	for (size_t i = 0; i < s->n; i++)
		if (s->item[i].text && !s->item[i].block && strlen(s->item[i].name) > width)
			width = strlen(s->item[i].name);
	for (size_t i = 0; i < s->n; i++) {
		if (!s->item[i].text || s->item[i].block)
			continue;
		char *name = spoken(s->item[i].name);
		fprintf(out, "%-*s  %s\n", (int)width, name, s->item[i].text);
		free(name);
	}
}

static void print_text(const struct cop_sheet *s, FILE *out)
{
	print_facts(s, out);
	for (size_t i = 0; i < s->n; i++) {
		const struct cop_sheet_item *item = &s->item[i];
		if (item->text && !item->block)
			continue;
		char *name = spoken(item->name);
		fprintf(out, "\n%s:\n", name);
		free(name);
		if (item->table)
			cop_table_print(item->table, out, false);
		else
			fprintf(out, "%s", item->text);
	}
}

static void print_json(const struct cop_sheet *s, FILE *out)
{
	cJSON *object = cJSON_CreateObject();
	for (size_t i = 0; i < s->n; i++)
		cJSON_AddItemToObject(object, s->item[i].name,
				      s->item[i].table ? cop_table_json(s->item[i].table)
						       : cJSON_Duplicate(s->item[i].json, true));
	char *text = cJSON_Print(object);
	fprintf(out, "%s\n", text ? text : "null");
	cJSON_free(text);
	cJSON_Delete(object);
}

void cop_sheet_print(const struct cop_sheet *s, FILE *out, bool json)
{
	if (json)
		print_json(s, out);
	else
		print_text(s, out);
}

void cop_sheet_release(struct cop_sheet *s)
{
	for (size_t i = 0; i < s->n; i++) {
		free(s->item[i].text);
		cJSON_Delete(s->item[i].json);
		if (s->item[i].table)
			cop_table_release(s->item[i].table);
		free(s->item[i].table);
	}
	free(s->item);
	*s = (struct cop_sheet){0};
}
