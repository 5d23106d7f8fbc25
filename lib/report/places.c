/* Places of lines between weights; see places.h. */
#include "report/places.h"

#include "report/table.h"

#include <math.h>

double cop_place_left(const struct cop_connection *c)
{
	return c->total > 0 ? (double)c->nnz / (double)c->total : 1 - c->quantile;
}

static const struct cop_column place_columns[] = {
	{"criterion", COP_COLUMN_TEXT, 0},      {"retrain", COP_COLUMN_TEXT, 0},   {"quantile", COP_COLUMN_GENERAL, 4},
	{"left %", COP_COLUMN_PERCENT, 1},      {"reset", COP_COLUMN_TEXT, 0},     {"replicates", COP_COLUMN_INT, 0},
	{"pairs", COP_COLUMN_INT, 0},           {"ends %", COP_COLUMN_PERCENT, 2}, {"highest %", COP_COLUMN_PERCENT, 2},
	{"instability", COP_COLUMN_PERCENT, 2}, {"+-", COP_COLUMN_PERCENT, 2},     {"stable pairs", COP_COLUMN_INT, 0},
};
enum { PLACE_COLUMNS = sizeof(place_columns) / sizeof(place_columns[0]) };

/* +-: of the instability's mean, 95%. */
void cop_places_print(const struct cop_connect_place *place, size_t n, FILE *out)
{
	struct cop_table t;
	cop_table_init(&t, place_columns, PLACE_COLUMNS);
	for (size_t i = 0; i < n; i++) {
		const struct cop_connect_place *p = &place[i];
		cop_table_text(&t, p->pair->criterion);
		cop_table_text(&t, p->pair->retrain);
		cop_table_real(&t, p->pair->quantile);
		cop_table_real(&t, cop_place_left(p->pair));
		cop_table_text(&t, p->pair->reset);
		cop_table_int(&t, (int64_t)p->instability.n);
		cop_table_int(&t, (int64_t)p->pairs);
		cop_table_real(&t, p->ends.mean);
		cop_table_real(&t, p->highest.mean);
		cop_table_real(&t, p->instability.mean);
		cop_table_real(&t, p->instability.half);
		cop_table_int(&t, (int64_t)p->stable);
	}
	cop_table_print(&t, out, false);
	cop_table_release(&t);
}

void cop_place_json(cJSON *j, const struct cop_connection *c)
{
	cJSON_AddStringToObject(j, "criterion", c->criterion);
	cJSON_AddStringToObject(j, "retrain", c->retrain);
	cop_json_add_num(j, "round", (double)c->round);
	cop_json_add_num(j, "quantile", c->quantile);
	cop_json_add_num(j, "left", cop_place_left(c));
	cJSON_AddStringToObject(j, "reset", c->reset);
	cop_json_add_num(j, "reset_step", (double)c->reset_step);
}

static void add_estimate(cJSON *j, const char *name, const struct cop_estimate *e)
{
	cJSON *o = cJSON_AddObjectToObject(j, name);
	cop_json_add_num(o, "mean", e->mean);
	cop_json_add_num(o, "half", e->half);
	cop_json_add_num(o, "sd", e->sd);
}

static cJSON *place_json(const struct cop_connect_place *p)
{
	cJSON *j = cJSON_CreateObject();
	cop_place_json(j, p->pair);
	cop_json_add_num(j, "replicates", (double)p->instability.n);
	cop_json_add_num(j, "pairs", (double)p->pairs);
	cop_json_add_num(j, "stable_pairs", (double)p->stable);
	add_estimate(j, "ends", &p->ends);
	add_estimate(j, "highest", &p->highest);
	add_estimate(j, "instability", &p->instability);
	return j;
}

cJSON *cop_places_json(const struct cop_connect_place *place, size_t n)
{
	cJSON *list = cJSON_CreateArray();
	for (size_t i = 0; i < n; i++)
		cJSON_AddItemToArray(list, place_json(&place[i]));
	return list;
}
