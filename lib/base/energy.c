/* Energy; see energy.h. */
#include "base/energy.h"

#include "base/log.h"
#include "base/mem.h"
#include "base/nvml.h"
#include "base/rapl.h"

#include <math.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

/* The smallest counters (65 kJ) begin again after four minutes of a large processor's work; GPUs tell of a second. */
enum { SAMPLE_SECONDS = 20, WATCH_SECONDS = 1 };

struct cop_energy {
	struct cop_rapl processors;
	struct cop_nvml gpus;
	double part; /* of the processors' energy that is the process's */
	int held, together;
	struct cop_gpu_time time;
	double looked;        /* when the GPUs were last asked how busy they are */
	pthread_mutex_t lock; /* of the counters */
	pthread_cond_t over;
	pthread_t sampler;
	bool sampling, ending;
};

/* What they say is taken for the time since they were last asked. The lock is held. */
static void look(struct cop_energy *e)
{
	double share = cop_nvml_busy(&e->gpus), now = cop_now(), passed = now - e->looked;
	if (isfinite(share)) {
		e->time.watched += passed;
		e->time.busy += share * passed;
	}
	e->looked = now;
}

static void *sample(void *p)
{
	struct cop_energy *e = p;
	struct timespec next;
	const int period = e->gpus.watched ? WATCH_SECONDS : SAMPLE_SECONDS;
	pthread_mutex_lock(&e->lock);
	clock_gettime(CLOCK_MONOTONIC, &next);
	while (!e->ending) {
		next.tv_sec += period;
		while (!e->ending && pthread_cond_timedwait(&e->over, &e->lock, &next) == 0)
			;
		(void)cop_rapl_read(&e->processors);
		look(e);
	}
	pthread_mutex_unlock(&e->lock);
	return NULL;
}

/* Signals are for the thread that works. */
static void begin_sampling(struct cop_energy *e)
{
	sigset_t all, before;
	pthread_condattr_t steady;
	pthread_condattr_init(&steady);
	pthread_condattr_setclock(&steady, CLOCK_MONOTONIC);
	pthread_mutex_init(&e->lock, NULL);
	pthread_cond_init(&e->over, &steady);
	pthread_condattr_destroy(&steady);
	e->looked = cop_now();
	if (!e->processors.n && !e->gpus.watched)
		return;
	sigfillset(&all);
	pthread_sigmask(SIG_BLOCK, &all, &before);
	e->sampling = pthread_create(&e->sampler, NULL, sample, e) == 0;
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (e->sampling)
		return;
	/* who cannot tell a counter that went round from one that did not has none */
	cop_rapl_release(&e->processors);
	e->gpus.watched = false;
}

struct cop_energy *cop_energy_open(const struct cop_energy_share *s)
{
	struct cop_energy *e = cop_xcalloc(1, sizeof(*e));
	const char *visible = getenv("CUDA_VISIBLE_DEVICES");
	long online = sysconf(_SC_NPROCESSORS_ONLN);
	e->part = online > 0 ? fmin(1, (double)s->cores / (double)online) : 1;
	e->held = visible ? cop_nvml_visible(visible) : s->gpus;
	e->together = s->together > 1 ? s->together : 1;
	cop_rapl_open(&e->processors);
	if (e->held)
		cop_nvml_open(&e->gpus, visible, e->held);
	begin_sampling(e);
	return e;
}

void cop_energy_free(struct cop_energy *e)
{
	if (!e)
		return;
	if (e->sampling) {
		pthread_mutex_lock(&e->lock);
		e->ending = true;
		pthread_cond_signal(&e->over);
		pthread_mutex_unlock(&e->lock);
		pthread_join(e->sampler, NULL);
	}
	pthread_cond_destroy(&e->over);
	pthread_mutex_destroy(&e->lock);
	cop_nvml_release(&e->gpus);
	cop_rapl_release(&e->processors);
	free(e);
}

double cop_energy_read(struct cop_energy *e)
{
	pthread_mutex_lock(&e->lock);
	double processors = e->part * cop_rapl_read(&e->processors);
	double gpus = e->held ? cop_nvml_read(&e->gpus) / e->together : 0;
	pthread_mutex_unlock(&e->lock);
	if (e->processors.n)
		return processors + gpus;
	return e->held ? gpus : NAN;
}

struct cop_gpu_time cop_energy_gpu_time(struct cop_energy *e)
{
	pthread_mutex_lock(&e->lock);
	look(e);
	struct cop_gpu_time t = e->time;
	pthread_mutex_unlock(&e->lock);
	return t;
}

double cop_energy_gpus(const struct cop_energy *e)
{
	return (double)e->held / e->together;
}

int cop_energy_describe(char *buf, size_t size)
{
	struct cop_rapl r;
	struct cop_nvml v;
	cop_rapl_open(&r);
	int gpus = cop_nvml_open(&v, NULL, COP_NVML_MAX), all = r.n + gpus;
	char processors[128] = "no processor", devices[32] = "no GPU";
	if (r.closed)
		snprintf(processors, sizeof(processors),
			 "no processor (only root may read energy_uj below /sys/class/powercap)");
	else if (r.n)
		snprintf(processors, sizeof(processors), "%d processor package%s", r.n, r.n == 1 ? "" : "s");
	if (gpus)
		snprintf(devices, sizeof(devices), "%d GPU%s", gpus, gpus == 1 ? "" : "s");
	snprintf(buf, size, "counters of %s, of %s", processors, devices);
	cop_rapl_release(&r);
	cop_nvml_release(&v);
	return all;
}
