/* Threads that decode; see crew.h. Images go round a ring of slots: image i lies in slot i modulo their number. */
#include "data/crew.h"

#include "base/mem.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

/*
 * Slots enough that a large image among small ones does not make the others wait, but no more than so many bytes. A
 * thread takes several images at a time where there are many slots, because waking each other costs as much as decoding
 * a small one.
 */
enum { SLOTS_A_THREAD = 64, LEAST_A_THREAD = 2, TURNS = 4, WINDOW_BYTES = 32 << 20 };

struct slot {
	struct cop_crew_image image;
	bool ready;
};

struct cop_crew {
	struct cop_crew_job job;
	pthread_mutex_t lock;
	pthread_cond_t ready, room; /* what the taker and the threads wait for */
	struct slot *slot;
	size_t slots, turn; /* turn: images that a thread takes at a time; divides slots */
	/* images that a thread has begun, that the taker was given, and of these, that it has no more */
	size_t begun, taken, released;
	bool ending;
	pthread_t *thread;
	int threads;
};

static int decode(const struct cop_crew_job *job, struct cop_crew_image *to)
{
	struct cop_image im;
	int rc = cop_image_read(to->path, job->channels, job->size, &im, &to->err);
	if (rc || job->size == 0) {
		if (!rc)
			to->im = im;
		return rc;
	}
	uint8_t *fitted = NULL;
	size_t size = (size_t)job->size;
	rc = cop_alloc(&fitted, size * size, (size_t)im.channels, "an image", &to->err);
	if (!rc)
		rc = cop_image_fit(&im, job->size, job->resize, fitted, &to->err);
	if (rc)
		free(fitted);
	else
		to->im = (struct cop_image){job->size, job->size, im.channels, 1, fitted};
	cop_image_release(&im);
	return rc;
}

/* Images `from` to `to`, without the lock. */
static void decode_turn(struct cop_crew *c, size_t from, size_t to)
{
	pthread_mutex_unlock(&c->lock);
	for (size_t at = from; at < to; at++) {
		struct cop_crew_image *image = &c->slot[at % c->slots].image;
		image->path = c->job.path(c->job.user, at);
		image->rc = decode(&c->job, image);
	}
	pthread_mutex_lock(&c->lock);
	for (size_t at = from; at < to; at++)
		c->slot[at % c->slots].ready = true;
}

static void *work(void *arg)
{
	struct cop_crew *c = arg;
	pthread_mutex_lock(&c->lock);
	while (!c->ending && c->begun < c->job.n) {
		size_t from = c->begun, to = from + c->turn;
		if (to > c->released + c->slots) {
			pthread_cond_wait(&c->room, &c->lock);
			continue;
		}
		c->begun = to = to < c->job.n ? to : c->job.n;
		decode_turn(c, from, to);
		if (c->taken > from && c->taken <= to)
			pthread_cond_signal(&c->ready);
	}
	pthread_mutex_unlock(&c->lock);
	return NULL;
}

/* Signals are for the thread that writes: it knows what to clean up. */
static int start_threads(struct cop_crew *c, int threads, struct cop_err *err)
{
	sigset_t all, before;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	int failed = 0;
	while (c->threads < threads && !failed) {
		failed = pthread_create(&c->thread[c->threads], NULL, work, c);
		c->threads += !failed;
	}
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	/* fewer will do */
	if (c->threads == 0)
		return cop_fail(err, COP_EFAILED, "cannot start a thread: %s", strerror(failed));
	return 0;
}

static void count_slots(struct cop_crew *c, int threads)
{
	size_t least = (size_t)threads * LEAST_A_THREAD, most = (size_t)threads * SLOTS_A_THREAD;
	size_t n = WINDOW_BYTES / (c->job.bytes ? c->job.bytes : 1);
	n = n < least ? least : n > most ? most : n;
	c->turn = n / ((size_t)threads * TURNS);
	c->turn = c->turn ? c->turn : 1;
	c->slots = n / c->turn * c->turn;
}

int cop_crew_start(struct cop_crew **out, const struct cop_crew_job *job, int threads, struct cop_err *err)
{
	struct cop_crew *c = cop_xcalloc(1, sizeof(*c));
	c->job = *job;
	count_slots(c, threads);
	c->slot = cop_xcalloc(c->slots, sizeof(*c->slot));
	c->thread = cop_xcalloc((size_t)threads, sizeof(*c->thread));
	pthread_mutex_init(&c->lock, NULL);
	pthread_cond_init(&c->ready, NULL);
	pthread_cond_init(&c->room, NULL);
	int rc = start_threads(c, threads, err);
	if (rc)
		cop_crew_end(c);
	else
		*out = c;
	return rc;
}

static void clear(struct slot *s)
{
	free(s->image.path);
	cop_image_release(&s->image.im);
	memset(s, 0, sizeof(*s));
}

const struct cop_crew_image *cop_crew_next(struct cop_crew *c)
{
	pthread_mutex_lock(&c->lock);
	if (c->released < c->taken) {
		clear(&c->slot[c->released++ % c->slots]);
		if (c->released % c->turn == 0)
			pthread_cond_signal(&c->room);
	}
	struct slot *s = NULL;
	if (c->taken < c->job.n) {
		s = &c->slot[c->taken++ % c->slots];
		while (!s->ready)
			pthread_cond_wait(&c->ready, &c->lock);
	}
	pthread_mutex_unlock(&c->lock);
	return s ? &s->image : NULL;
}

void cop_crew_end(struct cop_crew *c)
{
	if (!c)
		return;
	pthread_mutex_lock(&c->lock);
	c->ending = true;
	pthread_cond_broadcast(&c->room);
	pthread_mutex_unlock(&c->lock);
	for (int i = 0; i < c->threads; i++)
		pthread_join(c->thread[i], NULL);
	for (size_t i = 0; i < c->slots; i++)
		clear(&c->slot[i]);
	pthread_mutex_destroy(&c->lock);
	pthread_cond_destroy(&c->ready);
	pthread_cond_destroy(&c->room);
	free(c->thread);
	free(c->slot);
	free(c);
}
