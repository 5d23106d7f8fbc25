/*
 * Stands in for libnvidia-ml.so.1: devices, their millijoules and how busy they are is what the file $FAKE_NVML says, a
 * line a device: "UUID MILLIJOULES PERCENT", a negative number for a device that does not tell; so does one without the
 * last. Without the file it does not start.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* after NVIDIA's "NVML API Reference Guide" */
typedef struct nvmlDevice_st *nvmlDevice_t;
enum { SUCCESS, UNINITIALIZED, INVALID_ARGUMENT, NOT_SUPPORTED, NOT_FOUND = 6 };
enum { DEVICES = 8 };

struct nvmlDevice_st {
	char uuid[64];
	long long millijoules, percent;
};

typedef struct {
	unsigned gpu, memory;
} nvmlUtilization_t;

int nvmlInit_v2(void);
int nvmlShutdown(void);
int nvmlDeviceGetCount_v2(unsigned *n);
int nvmlDeviceGetHandleByIndex_v2(unsigned index, nvmlDevice_t *device);
int nvmlDeviceGetHandleByUUID(const char *uuid, nvmlDevice_t *device);
int nvmlDeviceGetTotalEnergyConsumption(nvmlDevice_t device, unsigned long long *millijoules);
int nvmlDeviceGetUtilizationRates(nvmlDevice_t device, nvmlUtilization_t *rates);

static struct nvmlDevice_st devices[DEVICES];
static unsigned ndevices, begun;

static int look(void)
{
	const char *path = getenv("FAKE_NVML");
	FILE *f = path ? fopen(path, "re") : NULL;
	if (!f)
		return UNINITIALIZED;
	char line[128], *end;
	for (ndevices = 0; ndevices < DEVICES && fgets(line, sizeof(line), f); ndevices++) {
		struct nvmlDevice_st *d = &devices[ndevices];
		size_t n = strcspn(line, " ");
		snprintf(d->uuid, sizeof(d->uuid), "%.*s", (int)n, line);
		d->millijoules = strtoll(line + n, &end, 10);
		d->percent = *end == ' ' ? strtoll(end, NULL, 10) : -1;
	}
	fclose(f);
	return SUCCESS;
}

int nvmlInit_v2(void)
{
	int rc = look();
	begun += rc == SUCCESS;
	return rc;
}

int nvmlShutdown(void)
{
	if (!begun)
		return UNINITIALIZED;
	begun--;
	return SUCCESS;
}

int nvmlDeviceGetCount_v2(unsigned *n)
{
	*n = ndevices;
	return begun ? SUCCESS : UNINITIALIZED;
}

int nvmlDeviceGetHandleByIndex_v2(unsigned index, nvmlDevice_t *device)
{
	if (!begun || index >= ndevices)
		return INVALID_ARGUMENT;
	*device = &devices[index];
	return SUCCESS;
}

int nvmlDeviceGetHandleByUUID(const char *uuid, nvmlDevice_t *device)
{
	for (unsigned i = 0; i < ndevices && begun; i++)
		if (strcmp(devices[i].uuid, uuid) == 0)
			return nvmlDeviceGetHandleByIndex_v2(i, device);
	return NOT_FOUND;
}

int nvmlDeviceGetTotalEnergyConsumption(nvmlDevice_t device, unsigned long long *millijoules)
{
	if (!begun || look() != SUCCESS)
		return UNINITIALIZED;
	if (device->millijoules < 0)
		return NOT_SUPPORTED;
	*millijoules = (unsigned long long)device->millijoules;
	return SUCCESS;
}

int nvmlDeviceGetUtilizationRates(nvmlDevice_t device, nvmlUtilization_t *rates)
{
	if (!begun || look() != SUCCESS)
		return UNINITIALIZED;
	if (device->percent < 0)
		return NOT_SUPPORTED;
	*rates = (nvmlUtilization_t){(unsigned)device->percent, 0};
	return SUCCESS;
}
