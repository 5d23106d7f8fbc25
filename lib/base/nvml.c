/* NVML; see nvml.h. */
#include "base/nvml.h"

#include "base/str.h"

#include <dlfcn.h>
#include <limits.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* dlsym's pointers become those of functions, which ISO C has no cast for. */
static bool find(void *library, const char *name, void *call)
{
	void *symbol = dlsym(library, name);
	memcpy(call, &symbol, sizeof(symbol));
	return symbol != NULL;
}

static bool open_library(struct cop_nvml *v)
{
	const char *name = getenv("COPPICE_NVML");
	v->library = dlopen(name && *name ? name : "libnvidia-ml.so.1", RTLD_NOW | RTLD_LOCAL);
	if (v->library && find(v->library, "nvmlInit_v2", &v->call.init) &&
	    find(v->library, "nvmlShutdown", &v->call.shutdown) &&
	    find(v->library, "nvmlDeviceGetCount_v2", &v->call.count) &&
	    find(v->library, "nvmlDeviceGetHandleByIndex_v2", &v->call.by_index) &&
	    find(v->library, "nvmlDeviceGetHandleByUUID", &v->call.by_uuid) &&
	    find(v->library, "nvmlDeviceGetTotalEnergyConsumption", &v->call.energy) &&
	    find(v->library, "nvmlDeviceGetUtilizationRates", &v->call.rates) && v->call.init() == 0)
		return true;
	if (v->library)
		dlclose(v->library);
	v->library = NULL;
	return false;
}

/* The next entry of a list, ended by ',' or the string's end, into `entry`; false after the last that is a device. */
static bool next_entry(const char **list, char *entry, size_t size)
{
	const char *from = *list + strspn(*list, " \t");
	size_t n = strcspn(from, ",");
	*list = from + n + (from[n] == ',');
	while (n && (from[n - 1] == ' ' || from[n - 1] == '\t'))
		n--;
	snprintf(entry, size, "%.*s", n < size ? (int)n : 0, from);
	int64_t index;
	return strncmp(entry, "GPU-", 4) == 0 || strncmp(entry, "MIG-", 4) == 0 ||
	       (cop_parse_i64(entry, &index) && index >= 0 && index <= INT_MAX);
}

int cop_nvml_visible(const char *visible)
{
	char entry[128];
	int n = 0;
	while (next_entry(&visible, entry, sizeof(entry)))
		n++;
	return n;
}

static bool find_device(const struct cop_nvml *v, const char *entry, struct nvmlDevice_st **device)
{
	int64_t index;
	if (cop_parse_i64(entry, &index))
		return v->call.by_index((unsigned)index, device) == 0;
	return v->call.by_uuid(entry, device) == 0;
}

/* Whether all devices of the list were found. */
static bool find_visible(struct cop_nvml *v, const char *visible)
{
	char entry[128];
	while (next_entry(&visible, entry, sizeof(entry)))
		if (v->n == COP_NVML_MAX || !find_device(v, entry, &v->device[v->n++]))
			return false;
	return true;
}

static bool find_first(struct cop_nvml *v, int most)
{
	unsigned n = 0;
	if (v->call.count(&n) != 0)
		return false;
	for (unsigned i = 0; i < n && v->n < most && v->n < COP_NVML_MAX; i++)
		if (v->call.by_index(i, &v->device[v->n++]) != 0)
			return false;
	return true;
}

int cop_nvml_open(struct cop_nvml *v, const char *visible, int most)
{
	*v = (struct cop_nvml){0};
	if (!open_library(v))
		return 0;
	bool good = visible ? find_visible(v, visible) : find_first(v, most);
	v->metered = v->watched = true;
	for (int i = 0; i < v->n && good; i++) {
		struct cop_nvml_rates rates;
		v->metered &= v->call.energy(v->device[i], &v->first[i]) == 0;
		v->watched &= v->call.rates(v->device[i], &rates) == 0;
	}
	if (!good || !v->n)
		cop_nvml_release(v);
	return v->metered ? v->n : 0;
}

void cop_nvml_release(struct cop_nvml *v)
{
	if (v->library) {
		v->call.shutdown();
		dlclose(v->library);
	}
	*v = (struct cop_nvml){0};
}

double cop_nvml_read(struct cop_nvml *v)
{
	double joules = v->metered ? 0 : NAN;
	for (int i = 0; i < v->n; i++) {
		unsigned long long now = 0;
		/* it is behind where it was after the driver was loaded again */
		if (v->call.energy(v->device[i], &now) != 0 || now < v->first[i])
			return NAN;
		joules += 1e-3 * (double)(now - v->first[i]);
	}
	return joules;
}

double cop_nvml_busy(const struct cop_nvml *v)
{
	double percent = v->watched ? 0 : NAN;
	for (int i = 0; i < v->n; i++) {
		struct cop_nvml_rates rates = {0};
		if (v->call.rates(v->device[i], &rates) != 0)
			return NAN;
		percent += fmin(100, rates.gpu);
	}
	return percent / 100 / v->n;
}
