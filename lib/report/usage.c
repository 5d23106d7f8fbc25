/* What a sweep took; see usage.h. */
#include "report/usage.h"

#include "base/json.h"
#include "base/mem.h"
#include "base/order.h"
#include "report/text.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* The work of one result, a dense run's or a cell's. */
struct work {
	double seconds, joules, cores, gpus, began, ended; /* seconds: 0 or more */
	double utilisation, memory;
};

/* What a damaged file may hold is worth nothing. */
static double sane(double v)
{
	return v > 0 && v < 1e15 ? v : 0;
}

static struct work work_of_cell(const struct cop_row *row)
{
	return (struct work){.seconds = sane(row->seconds),
			     .joules = row->joules,
			     .cores = sane((double)row->cores),
			     .gpus = sane(row->gpus),
			     .began = row->began,
			     .ended = row->ended,
			     .utilisation = row->gpu_utilisation,
			     .memory = sane(row->gpu_memory)};
}

static struct work work_of_dense(const struct cop_dense *d)
{
	return (struct work){.seconds = sane(d->seconds),
			     .joules = d->joules,
			     .cores = sane((double)d->cores),
			     .gpus = sane(d->gpus),
			     .began = d->began,
			     .ended = d->ended,
			     .utilisation = d->gpu_utilisation,
			     .memory = sane(d->gpu_memory)};
}

static void add_gpu(struct cop_usage_gpu *g, const struct work *w)
{
	if (w->utilisation >= 0 && w->utilisation <= 1) {
		g->watched += w->seconds * w->gpus;
		g->busy += w->seconds * w->gpus * w->utilisation;
	}
	g->memory = fmax(g->memory, w->memory);
}

double cop_usage_utilisation(const struct cop_usage_gpu *g)
{
	return g->watched > 0 ? g->busy / g->watched : NAN;
}

static void add_sums(struct cop_usage *u, const struct work *w)
{
	u->results++;
	u->core_hours += w->seconds * w->cores / 3600;
	u->gpu_hours += w->seconds * w->gpus / 3600;
	if (w->joules >= 0 && w->joules < 1e18) {
		u->joules += w->joules;
		u->metered++;
	}
	add_gpu(&u->gpu, w);
}

/* Gathers what was computed into w, and the cells' seconds into `seconds`; both have room for all. Returns how many. */
static size_t gather(struct cop_usage *u, const struct cop_results *r, struct work *w, double *seconds, size_t *ncells)
{
	size_t n = 0;
	*ncells = 0;
	for (size_t i = 0; i < r->ndense; i++)
		w[n++] = work_of_dense(&r->dense[i]);
	for (size_t i = 0; i < r->ncells; i++) {
		if (r->cell[i].row.same_as >= 0)
			continue;
		w[n] = work_of_cell(&r->cell[i].row);
		seconds[(*ncells)++] = w[n++].seconds;
	}
	for (size_t i = 0; i < n; i++)
		add_sums(u, &w[i]);
	return n;
}

/* Began and ended, both after 1970 and in this order. */
static bool has_times(const struct work *w)
{
	return w->began > 0 && w->ended >= w->began && w->ended < 1e11;
}

/* How many of the sorted times are not after t. */
static size_t not_after(const double *v, size_t n, double t)
{
	size_t low = 0, high = n;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (v[middle] <= t)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/* The integral of how many were under way, from u->began to t: began and ended are sorted, before: sums of the first.
 */
static double busy_until(const double *began, const double *sum_began, const double *ended, const double *sum_ended,
			 size_t n, double t)
{
	size_t b = not_after(began, n, t), e = not_after(ended, n, t);
	return ((double)b * t - sum_began[b]) - ((double)e * t - sum_ended[e]);
}

static void sum_up(const double *v, size_t n, double origin, double *shifted, double *sum)
{
	for (size_t i = 0; i < n; i++)
		shifted[i] = v[i] - origin;
	qsort(shifted, n, sizeof(*shifted), cop_compare_doubles);
	sum[0] = 0;
	for (size_t i = 0; i < n; i++)
		sum[i + 1] = sum[i] + shifted[i];
}

static size_t most_at_once(const double *began, const double *ended, size_t n)
{
	size_t most = 0;
	for (size_t b = 0, e = 0; b < n; b++) {
		while (ended[e] < began[b])
			e++;
		most = b + 1 - e > most ? b + 1 - e : most;
	}
	return most;
}

/* began, ended: (n); turned into times from the first beginning on, sorted, so that slots are differences of sums. */
static void spread_over_time(struct cop_usage *u, const double *began, const double *ended, size_t n)
{
	double *b = cop_xcalloc(n, sizeof(*b)), *sum_b = cop_xcalloc(n + 1, sizeof(*sum_b));
	double *e = cop_xcalloc(n, sizeof(*e)), *sum_e = cop_xcalloc(n + 1, sizeof(*sum_e));
	u->began = INFINITY;
	u->ended = 0;
	for (size_t i = 0; i < n; i++) {
		u->began = fmin(u->began, began[i]);
		u->ended = fmax(u->ended, ended[i]);
	}
	sum_up(began, n, u->began, b, sum_b);
	sum_up(ended, n, u->began, e, sum_e);
	double span = u->ended - u->began, last = 0;
	u->most = most_at_once(b, e, n);
	u->together = span > 0 ? (sum_e[n] - sum_b[n]) / span : (double)n;
	for (size_t i = 0; i < COP_USAGE_SLOTS && span > 0; i++) {
		double now = busy_until(b, sum_b, e, sum_e, n, span * (double)(i + 1) / COP_USAGE_SLOTS);
		u->under_way[i] = (now - last) * COP_USAGE_SLOTS / span;
		last = now;
	}
	free(b);
	free(e);
	free(sum_b);
	free(sum_e);
}

static void look_at_times(struct cop_usage *u, const struct work *w, size_t n)
{
	double *began = cop_xcalloc(n, sizeof(*began)), *ended = cop_xcalloc(n, sizeof(*ended));
	size_t known = 0;
	for (size_t i = 0; i < n; i++) {
		if (!has_times(&w[i]))
			continue;
		/* when parts of it ran is not known: as if in one go up to its end */
		began[known] = fmax(w[i].began, w[i].ended - w[i].seconds);
		ended[known++] = w[i].ended;
	}
	u->began = u->ended = u->together = NAN;
	if (known)
		spread_over_time(u, began, ended, known);
	free(began);
	free(ended);
}

static int compare_hosts(const void *a, const void *b)
{
	const struct cop_usage_host *x = a, *y = b;
	return x->results != y->results ? (x->results < y->results) - (x->results > y->results)
					: strcmp(x->name, y->name);
}

static void add_host(struct cop_usage *u, size_t *cap, const struct cop_row *row)
{
	struct work w = work_of_cell(row);
	char name[COP_TEXT];
	size_t k = 0;
	snprintf(name, sizeof(name), "%.*s", COP_TEXT - 1, row->host);
	while (k < u->nhosts && strcmp(u->host[k].name, name) != 0)
		k++;
	if (k == u->nhosts) {
		u->host = cop_grow(u->host, cap, u->nhosts + 1, sizeof(*u->host));
		u->host[u->nhosts++] = (struct cop_usage_host){0};
		memcpy(u->host[k].name, name, sizeof(name));
	}
	u->host[k].results++;
	u->host[k].core_hours += w.seconds * w.cores / 3600;
	u->host[k].gpu_hours += w.seconds * w.gpus / 3600;
	if (w.joules >= 0 && w.joules < 1e18) {
		u->host[k].joules += w.joules;
		u->host[k].metered++;
	}
	add_gpu(&u->host[k].gpu, &w);
}

/* Grams of CO2 a kWh, from the experiment; 0: it names none. */
static double carbon_of(const char *experiment)
{
	cJSON *json = NULL;
	double carbon = 0;
	if (experiment && cop_json_parse(experiment, "experiment", &json, NULL) == 0)
		carbon = cop_json_num(cJSON_GetObjectItemCaseSensitive(json, "cost"), "carbon_g_per_kwh", 0);
	cJSON_Delete(json);
	return sane(carbon);
}

void cop_usage_init(struct cop_usage *u, const struct cop_results *r)
{
	size_t all = r->ndense + r->ncells, ncells, cap = 0;
	struct work *w = cop_xcalloc(all, sizeof(*w));
	double *seconds = cop_xcalloc(all, sizeof(*seconds)), carbon = carbon_of(r->experiment);
	*u = (struct cop_usage){.median = NAN, .longest = NAN, .carbon = NAN};
	size_t n = gather(u, r, w, seconds, &ncells);
	look_at_times(u, w, n);
	if (ncells) {
		u->median = cop_median(seconds, ncells);
		u->longest = seconds[ncells - 1];
	}
	if (carbon > 0 && u->metered)
		u->carbon = u->joules / 3.6e6 * carbon;
	for (size_t i = 0; i < r->ncells; i++)
		if (r->cell[i].row.same_as < 0)
			add_host(u, &cap, &r->cell[i].row);
	if (u->nhosts)
		qsort(u->host, u->nhosts, sizeof(*u->host), compare_hosts);
	free(w);
	free(seconds);
}

void cop_usage_release(struct cop_usage *u)
{
	free(u->host);
	*u = (struct cop_usage){0};
}

const char *cop_usage_gpu_text(const struct cop_usage_gpu *g, char buf[COP_USAGE_GPU_TEXT])
{
	double share = cop_usage_utilisation(g);
	char used[32] = "", most[COP_NUMBER_TEXT + 16] = "", bytes[COP_NUMBER_TEXT];
	if (isfinite(share))
		snprintf(used, sizeof(used), "%.0f%% utilised", 100 * share);
	if (g->memory > 0)
		snprintf(most, sizeof(most), "%s of memory", cop_text_bytes(g->memory, bytes));
	*buf = '\0';
	if (*used || *most)
		snprintf(buf, COP_USAGE_GPU_TEXT, " (%s%s%s)", used, *used && *most ? ", " : "", most);
	return buf;
}

void cop_usage_print(const struct cop_usage *u, FILE *out)
{
	char number[COP_NUMBER_TEXT], span[COP_NUMBER_TEXT], median[COP_NUMBER_TEXT], longest[COP_NUMBER_TEXT];
	char gpu[COP_USAGE_GPU_TEXT];
	if (!u->results)
		return;
	fprintf(out, "took %s core-hours", cop_text_hours(u->core_hours, number));
	if (u->gpu_hours > 0)
		fprintf(out, ", %s GPU-hours%s", cop_text_hours(u->gpu_hours, number),
			cop_usage_gpu_text(&u->gpu, gpu));
	if (u->metered)
		fprintf(out, ", %.3g kWh", u->joules / 3.6e6);
	if (u->metered && u->metered < u->results)
		fprintf(out, " (of %zu of %zu results: the rest had no counters)", u->metered, u->results);
	if (isfinite(u->carbon))
		fprintf(out, ", %.3g g of CO2", u->carbon);
	fprintf(out, "\n");
	if (isfinite(u->together))
		fprintf(out, "within %s, %.1f at once (%zu at most)", cop_text_duration(u->ended - u->began, span),
			u->together, u->most);
	if (isfinite(u->together) && isfinite(u->median))
		fprintf(out, "; the median cell took %s, the longest %s", cop_text_duration(u->median, median),
			cop_text_duration(u->longest, longest));
	if (isfinite(u->together))
		fprintf(out, "\n");
}

static void add_gpu_json(cJSON *json, const struct cop_usage_gpu *g)
{
	cop_json_add_num(json, "gpu_utilisation", cop_usage_utilisation(g));
	cop_json_add_num(json, "gpu_memory", g->memory > 0 ? g->memory : NAN);
}

cJSON *cop_usage_json(const struct cop_usage *u)
{
	cJSON *json = cJSON_CreateObject(), *hosts = cJSON_CreateArray();
	cop_json_add_num(json, "results", (double)u->results);
	cop_json_add_num(json, "core_hours", u->core_hours);
	cop_json_add_num(json, "gpu_hours", u->gpu_hours);
	cop_json_add_num(json, "kwh", u->metered ? u->joules / 3.6e6 : NAN);
	cop_json_add_num(json, "metered_results", (double)u->metered);
	cop_json_add_num(json, "carbon_g", u->carbon);
	add_gpu_json(json, &u->gpu);
	cop_json_add_num(json, "began", u->began);
	cop_json_add_num(json, "ended", u->ended);
	cop_json_add_num(json, "at_once_mean", u->together);
	cop_json_add_num(json, "at_once_most", (double)u->most);
	cop_json_add_num(json, "cell_seconds_median", u->median);
	cop_json_add_num(json, "cell_seconds_longest", u->longest);
	for (size_t i = 0; i < u->nhosts; i++) {
		cJSON *host = cJSON_CreateObject();
		char *name = cop_text_clean(u->host[i].name);
		cJSON_AddStringToObject(host, "host", name);
		cop_json_add_num(host, "cells", (double)u->host[i].results);
		cop_json_add_num(host, "core_hours", u->host[i].core_hours);
		cop_json_add_num(host, "gpu_hours", u->host[i].gpu_hours);
		cop_json_add_num(host, "kwh", u->host[i].metered ? u->host[i].joules / 3.6e6 : NAN);
		add_gpu_json(host, &u->host[i].gpu);
		cJSON_AddItemToArray(hosts, host);
		free(name);
	}
	cJSON_AddItemToObject(json, "hosts", hosts);
	return json;
}
