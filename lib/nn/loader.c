/* Batches ahead of the step; see loader.h. */
#include "nn/loader.h"

#include "base/cpu.h"
#include "base/log.h"
#include "base/mem.h"
#include "nn/ahead.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

/* Buffers: one in the step's hands, the rest ahead of it. */
enum { DEPTH = 4 };

/* A buffer of the ring, and how far it is filled. */
struct slot {
	float *x;        /* (H*W*C, ld) */
	uint8_t *images; /* (ld,H,W,C) */
	struct cop_pick *pick;
	int32_t *label;
	int n, groups; /* images; sixteens of them */
	int next;      /* the group that nobody has begun */
	int done;      /* groups that are filled, or failed */
	int failed;    /* the first group that did; `groups`: none */
	struct cop_err err;
};

/* A thread, or the one that takes the batches. */
struct worker {
	struct cop_loader *loader;
	pthread_t thread;
	uint8_t *images; /* (COP_GATHER,H,W,C): a group's, where they come from the file */
};

struct cop_loader {
	const struct cop_data *data;
	const struct cop_backend *backend;
	int batch, ld, wanted;
	enum cop_loader_gives gives;
	struct cop_ahead choice;
	struct cop_batch out;

	const struct cop_part *part;
	struct cop_shuffle shuffle; /* training: perm is not NULL */
	int64_t steps_per_epoch, steps;
	int share, shares; /* of training's batches this one */

	pthread_mutex_t lock; /* of all that follows */
	pthread_cond_t work, ready;
	struct slot slot[DEPTH];                          /* that of step s: s % depth */
	int depth;                                        /* how many of them there are */
	int64_t base, planned;                            /* steps base..planned-1 are in the slots */
	int busy;                                         /* groups that are being filled */
	bool ahead, hold, quit;                           /* ahead: threads may begin new batches; hold: nobody may */
	struct worker worker[COP_LOADER_THREADS_MAX + 1]; /* the last one: who takes */
	int threads;
};

static int add_slot(struct cop_loader *l, struct cop_err *err)
{
	struct slot *s = &l->slot[l->depth];
	const struct cop_dataset_info *d = &l->data->info;
	size_t features = (size_t)d->height * (size_t)d->width * (size_t)d->channels;
	int rc = 0;
	if (l->gives == COP_GIVES_INPUT)
		rc = cop_alloc(&s->x, features, (size_t)l->ld * sizeof(float), "a batch", err);
	if (l->gives == COP_GIVES_IMAGES)
		rc = cop_alloc(&s->images, features, (size_t)l->ld, "a batch", err);
	if (rc)
		return rc;
	s->pick = cop_xcalloc((size_t)l->ld, sizeof(*s->pick));
	s->label = cop_xcalloc((size_t)l->ld, sizeof(*s->label));
	l->depth++;
	return 0;
}

static void drop_slot(struct cop_loader *l)
{
	struct slot *s = &l->slot[--l->depth];
	free(s->x);
	free(s->images);
	free(s->pick);
	free(s->label);
	*s = (struct slot){0};
}

static struct slot *slot_of(struct cop_loader *l, int64_t step)
{
	return &l->slot[step % l->depth];
}

static int groups_of(const struct cop_loader *l)
{
	return (l->ld + COP_GATHER - 1) / COP_GATHER;
}

/* Which images the step has. Held by one thread at a time, for the permutation is there once. */
static void plan(struct cop_loader *l, int64_t step)
{
	struct slot *s = slot_of(l, step);
	if (l->shuffle.perm) {
		int64_t at = step % l->steps_per_epoch * l->shares + l->share;
		s->n = l->batch;
		cop_shuffle_batch(&l->shuffle, step / l->steps_per_epoch, at, l->batch, s->pick, s->label);
	} else {
		s->n = cop_part_batch(l->part, step, l->batch, s->pick, s->label);
	}
	s->next = s->done = 0;
	s->groups = s->failed = groups_of(l);
}

static size_t image_bytes(const struct cop_loader *l)
{
	const struct cop_dataset_info *d = &l->data->info;
	return (size_t)d->height * (size_t)d->width * (size_t)d->channels;
}

/* Images picks[..n-1] of the part into `to`, where they are then numbered from `first`. */
static int read_images(const struct cop_loader *l, struct cop_pick *pick, int n, int first, uint8_t *to,
		       struct cop_err *err)
{
	size_t each = image_bytes(l);
	for (int i = 0; i < n; i++, to += each) {
		int rc = 0;
		if (l->part->file)
			rc = cop_image_file_read(l->part->file, pick[i].index, to, err);
		else
			memcpy(to, l->part->images + (size_t)pick[i].index * each, each);
		if (rc)
			return rc;
		pick[i].index = (uint32_t)(first + i);
	}
	return 0;
}

static int fill_group(struct cop_loader *l, struct worker *w, struct slot *s, int group, struct cop_err *err)
{
	int first = group * COP_GATHER, n = s->n - first < COP_GATHER ? s->n - first : COP_GATHER;
	bool stream = l->part->file;
	if (l->gives == COP_GIVES_PICKS)
		return 0;
	if (l->gives == COP_GIVES_IMAGES)
		return read_images(l, s->pick + first, n, first, s->images + (size_t)first * image_bytes(l), err);
	int rc = stream ? read_images(l, s->pick + first, n, 0, w->images, err) : 0;
	struct cop_image_source source = cop_data_source(l->data, l->part, stream ? w->images : NULL);
	if (!rc)
		cop_gather16(&source, s->pick + first, n, l->ld, s->x + first);
	return rc;
}

/* The lock is held, but not while the group is filled. */
static void do_group(struct cop_loader *l, struct worker *w, struct slot *s)
{
	int group = s->next++;
	struct cop_err err = {0};
	l->busy++;
	pthread_mutex_unlock(&l->lock);
	int rc = fill_group(l, w, s, group, &err);
	pthread_mutex_lock(&l->lock);
	l->busy--;
	if (rc && group < s->failed) {
		s->failed = group;
		s->err = err;
	}
	if (++s->done == s->groups || (l->hold && !l->busy))
		pthread_cond_broadcast(&l->ready);
}

/* The oldest batch of which a group is still to be begun; where all are, a new one if there is room. NULL: nothing. */
static struct slot *find_work(struct cop_loader *l)
{
	if (l->hold)
		return NULL;
	for (int64_t step = l->base; step < l->planned; step++)
		if (slot_of(l, step)->next < slot_of(l, step)->groups)
			return slot_of(l, step);
	if (!l->ahead || l->planned >= l->base + l->depth || l->planned >= l->steps)
		return NULL;
	plan(l, l->planned);
	pthread_cond_broadcast(&l->work);
	return slot_of(l, l->planned++);
}

static void *work_ahead(void *worker)
{
	struct worker *w = worker;
	struct cop_loader *l = w->loader;
	pthread_mutex_lock(&l->lock);
	while (!l->quit) {
		struct slot *s = find_work(l);
		if (s)
			do_group(l, w, s);
		else
			pthread_cond_wait(&l->work, &l->lock);
	}
	pthread_mutex_unlock(&l->lock);
	return NULL;
}

static bool streams(const struct cop_loader *l)
{
	if (l->gives == COP_GIVES_PICKS)
		return false;
	return l->gives == COP_GIVES_IMAGES || l->data->file[COP_SPLIT_TRAIN] || l->data->file[COP_SPLIT_TEST];
}

static int ready_worker(struct cop_loader *l, struct worker *w, struct cop_err *err)
{
	const struct cop_dataset_info *d = &l->data->info;
	w->loader = l;
	if (w->images || !streams(l) || l->gives != COP_GIVES_INPUT)
		return 0;
	return cop_alloc(&w->images, COP_GATHER, (size_t)d->height * (size_t)d->width * (size_t)d->channels,
			 "images of a batch", err);
}

/* Signals are for the program's first thread. With fewer threads than asked for, or none, only the pace is another. */
static void start_threads(struct cop_loader *l, int n)
{
	sigset_t all, before;
	struct cop_err err = {0};
	int rc = 0;
	while (n > 0 && l->depth < DEPTH && !rc)
		rc = add_slot(l, &err);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	l->quit = false;
	while (l->threads < n && !rc) {
		struct worker *w = &l->worker[l->threads];
		rc = ready_worker(l, w, &err);
		if (!rc && (errno = pthread_create(&w->thread, NULL, work_ahead, w)) != 0)
			rc = cop_fail_errno(&err, COP_EFAILED, "cannot start a thread");
		l->threads += !rc;
	}
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (rc)
		cop_warn("only %d of %d loader threads: %s", l->threads, n, err.msg);
	l->ahead = l->threads > 0;
}

static void end_threads(struct cop_loader *l)
{
	pthread_mutex_lock(&l->lock);
	l->quit = true;
	l->ahead = false;
	pthread_cond_broadcast(&l->work);
	pthread_mutex_unlock(&l->lock);
	for (int k = 0; k < l->threads; k++)
		pthread_join(l->worker[k].thread, NULL);
	l->threads = 0;
}

/* Forgets what is under way, and goes on from `step` when the next batch is taken. */
static void restart(struct cop_loader *l, int64_t step)
{
	pthread_mutex_lock(&l->lock);
	l->hold = true;
	while (l->busy)
		pthread_cond_wait(&l->ready, &l->lock);
	l->base = l->planned = step;
	pthread_mutex_unlock(&l->lock);
}

/*
 * What waits for a disk is worth several threads. But images that only HDF5 can read are read by the thread that takes
 * the batches: HDF5 cannot be called by two.
 */
static int threads_at_first(const struct cop_loader *l)
{
	int fewest = 4, share = cop_cpu_threads() / 4;
	for (int s = 0; s < COP_SPLITS; s++)
		if (l->data->file[s] && !cop_image_file_shared(l->data->file[s]))
			return 0;
	if (l->wanted != COP_LOADER_AUTO)
		return l->wanted > 0 ? l->wanted : 0;
	return streams(l) ? (share > fewest ? share : fewest) : 0;
}

int cop_loader_open(struct cop_loader **out, const struct cop_data *data, const struct cop_backend *backend, int batch,
		    int threads, enum cop_loader_gives gives, struct cop_err *err)
{
	struct cop_loader *l = cop_xcalloc(1, sizeof(*l));
	l->gives = gives;
	l->data = data;
	l->backend = backend;
	l->batch = batch;
	l->ld = cop_leading(backend, batch);
	l->wanted = threads;
	l->shares = 1;
	l->hold = true;
	cop_ahead_init(&l->choice);
	pthread_mutex_init(&l->lock, NULL);
	pthread_cond_init(&l->work, NULL);
	pthread_cond_init(&l->ready, NULL);
	int rc = add_slot(l, err);
	if (!rc)
		rc = ready_worker(l, &l->worker[COP_LOADER_THREADS_MAX], err);
	if (rc) {
		cop_loader_free(l);
		return rc;
	}
	start_threads(l, threads_at_first(l));
	*out = l;
	return 0;
}

void cop_loader_free(struct cop_loader *l)
{
	if (!l)
		return;
	end_threads(l);
	while (l->depth)
		drop_slot(l);
	for (int k = 0; k <= COP_LOADER_THREADS_MAX; k++)
		free(l->worker[k].images);
	cop_shuffle_release(&l->shuffle);
	pthread_cond_destroy(&l->work);
	pthread_cond_destroy(&l->ready);
	pthread_mutex_destroy(&l->lock);
	free(l);
}

void cop_loader_train(struct cop_loader *l, uint64_t seed_order, uint64_t seed_augment, int64_t steps_per_epoch,
		      int64_t steps)
{
	restart(l, 0);
	cop_shuffle_release(&l->shuffle);
	cop_shuffle_init(&l->shuffle, l->data, seed_order, seed_augment);
	l->part = &l->data->train;
	l->steps_per_epoch = steps_per_epoch;
	l->steps = steps;
}

void cop_loader_aim(struct cop_loader *l, const struct cop_part *part)
{
	restart(l, 0);
	cop_shuffle_release(&l->shuffle);
	l->part = part;
	l->steps = (part->n + l->batch - 1) / l->batch;
}

void cop_loader_share(struct cop_loader *l, int part, int parts)
{
	restart(l, 0);
	l->share = part;
	l->shares = parts;
}

/* By all of the step's threads, which this one leads. */
static void fill_in_step(struct cop_loader *l, struct slot *s)
{
	struct cop_image_source source = cop_data_source(l->data, l->part, NULL);
	s->next = s->groups;
	pthread_mutex_unlock(&l->lock);
	if (l->gives == COP_GIVES_INPUT)
		l->backend->gather(&source, s->pick, s->n, l->ld, s->x);
	pthread_mutex_lock(&l->lock);
	s->done = s->groups;
}

int cop_loader_take(struct cop_loader *l, int64_t step, const struct cop_batch **b, struct cop_err *err)
{
	if (step != l->base)
		restart(l, step);
	pthread_mutex_lock(&l->lock);
	l->hold = false;
	struct slot *s = slot_of(l, step);
	if (l->planned == step) {
		plan(l, l->planned++);
		if (l->ahead)
			pthread_cond_broadcast(&l->work);
		else if (l->part->images && l->gives != COP_GIVES_IMAGES)
			fill_in_step(l, s);
	}
	/* who would wait can as well help */
	while (s->done < s->groups)
		if (s->next < s->groups)
			do_group(l, &l->worker[COP_LOADER_THREADS_MAX], s);
		else
			pthread_cond_wait(&l->ready, &l->lock);
	bool failed = s->failed < s->groups;
	pthread_mutex_unlock(&l->lock);
	if (failed) {
		restart(l, step);
		return cop_fail(err, s->err.code, "%s", s->err.msg);
	}
	l->out = (struct cop_batch){
		.x = s->x, .pick = s->pick, .images = s->images, .label = s->label, .n = s->n, .ld = l->ld};
	*b = &l->out;
	return 0;
}

void cop_loader_give(struct cop_loader *l)
{
	pthread_mutex_lock(&l->lock);
	l->base++;
	if (l->ahead)
		pthread_cond_signal(&l->work);
	pthread_mutex_unlock(&l->lock);
}

void cop_loader_note(struct cop_loader *l, double seconds, double waited)
{
	if (l->wanted != COP_LOADER_AUTO || l->choice.settled || streams(l))
		return;
	/* a thread more than there are processors makes those of the step wait for each other */
	if (cop_cpu_threads() >= cop_cpu_count()) {
		l->choice.settled = true;
		return;
	}
	bool ahead = cop_ahead_step(&l->choice, seconds, waited);
	if (ahead && !l->threads) {
		int most = cop_cpu_threads();
		start_threads(l, most > 4 ? most / 4 : 1);
		if (!l->threads)
			l->wanted = COP_LOADER_IN_STEP;
		return;
	}
	pthread_mutex_lock(&l->lock);
	l->ahead = ahead;
	pthread_mutex_unlock(&l->lock);
	if (l->choice.settled && !ahead && l->threads) {
		end_threads(l);
		restart(l, l->base);
		/* one buffer that is used again and again stays in the caches */
		while (l->depth > 1)
			drop_slot(l);
	}
}

bool cop_loader_trying(const struct cop_loader *l)
{
	return l->choice.trying && !l->choice.settled;
}

int cop_loader_threads(const struct cop_loader *l)
{
	return l->ahead ? l->threads : 0;
}
