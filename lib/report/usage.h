/* What a sweep took: hours, energy, and how evenly its work was spread over time and nodes. */
#ifndef COP_REPORT_USAGE_H
#define COP_REPORT_USAGE_H

#include "base/str.h"
#include "report/table.h"
#include "store/results.h"

enum { COP_USAGE_SLOTS = 400 };

/* GPUs, of the results that tell. */
struct cop_usage_gpu {
	double watched, busy; /* GPU-seconds, and those of them in which they computed */
	double memory;        /* the most bytes of one; 0: unknown */
};

/* " (87% utilised, 3.2 GB of memory)", or what of it is known, or "", into buf; returns buf. */
enum { COP_USAGE_GPU_TEXT = 96 };
const char *cop_usage_gpu_text(const struct cop_usage_gpu *g, char buf[COP_USAGE_GPU_TEXT]);

/* Their mean utilisation, 0 to 1; NaN where no result tells. */
double cop_usage_utilisation(const struct cop_usage_gpu *g);

struct cop_usage_host {
	char name[COP_TEXT];
	size_t results, metered;
	double core_hours, gpu_hours, joules; /* joules: of the metered ones */
	struct cop_usage_gpu gpu;
};

/* Of what was computed, dense runs and cells; copies of equal cells took nothing. */
struct cop_usage {
	size_t results;
	double core_hours, gpu_hours; /* the time of training and measuring, times cores and GPUs */
	double joules;                /* of the results with counters */
	size_t metered;               /* how many those are */
	struct cop_usage_gpu gpu;
	double carbon;       /* grams of CO2 for `joules`; NaN where the experiment names no carbon_g_per_kwh */
	double began, ended; /* of all, in seconds since 1970; NaN: unknown */
	double together;     /* results computed at once, on average over that time */
	size_t most;         /* and at most */
	double under_way[COP_USAGE_SLOTS]; /* mean number in equal parts of the time from began to ended */
	double median, longest;            /* seconds of a cell; NaN without cells */
	struct cop_usage_host *host;       /* of cells, most of them first */
	size_t nhosts;
};

/* Sums up results. One that was interrupted counts as if it had been computed in one go up to its end. Release it. */
void cop_usage_init(struct cop_usage *u, const struct cop_results *r);
void cop_usage_release(struct cop_usage *u);

/* Lines for a terminal. Nothing where nothing was computed. */
void cop_usage_print(const struct cop_usage *u, FILE *out);

/* An object for JSON: the fields by name, hosts as a list. */
struct cJSON *cop_usage_json(const struct cop_usage *u);

/* Appends the page's section: figure, sentence, table of hosts. */
void cop_usage_html(struct cop_str *b, const struct cop_usage *u);

#endif
