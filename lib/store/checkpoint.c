/* Checkpoints and masks; see checkpoint.h. */
#include "store/checkpoint.h"

#include "base/hash.h"
#include "base/mem.h"
#include "store/digest.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The order of the tensors is the network's, which HDF5's order of names would lose. */
static int store_order(struct cop_h5 *f, const char *group, const struct cop_layout *l, struct cop_err *err)
{
	const char **name = cop_xcalloc(l->n, sizeof(*name));
	for (size_t i = 0; i < l->n; i++)
		name[i] = l->tensor[i].name;
	char *path = cop_xasprintf("order/%s", group);
	int rc = cop_h5_write_strings(f, path, name, l->n, err);
	free(path);
	free(name);
	return rc;
}

static int store_tensor(struct cop_h5 *f, const char *group, const struct cop_tensor *t, const float *arena,
			int deflate, struct cop_err *err)
{
	char *path = cop_xasprintf("%s/%s", group, t->name);
	int rc = cop_h5_write(f, path, COP_H5_F32, t->rank, t->dim, arena + t->offset, deflate, err);
	if (!rc)
		rc = cop_h5_put_i64(f, path, "prunable", t->prunable, err);
	free(path);
	return rc;
}

int cop_store_tensors(struct cop_h5 *f, const char *group, const struct cop_layout *l, const float *arena, int deflate,
		      struct cop_err *err)
{
	int rc = store_order(f, group, l, err);
	for (size_t i = 0; i < l->n && !rc; i++)
		rc = store_tensor(f, group, &l->tensor[i], arena, deflate, err);
	return rc || !l->n ? rc : cop_digest_store(f, group, cop_digest_tensors(l, arena), err);
}

static int load_one_layout(struct cop_h5 *f, const char *group, const char *name, struct cop_layout *l,
			   struct cop_err *err)
{
	int rank = 0;
	int64_t dim[COP_RANK_MAX] = {0}, prunable = 0;
	if (strlen(name) >= COP_TENSOR_NAME)
		return cop_fail(err, COP_EINPUT, "'%s': the name '%.40s…' is too long", cop_h5_path(f), name);
	char *path = cop_xasprintf("%s/%s", group, name);
	int rc = cop_h5_shape(f, path, &rank, dim, err);
	if (!rc && cop_h5_has_attr(f, path, "prunable"))
		rc = cop_h5_get_i64(f, path, "prunable", &prunable, err);
	if (!rc)
		cop_layout_add(l, name, rank, dim, prunable != 0);
	free(path);
	return rc;
}

static int load_layout(struct cop_h5 *f, const char *group, struct cop_layout *l, struct cop_err *err)
{
	char **name = NULL;
	size_t n = 0;
	char *path = cop_xasprintf("order/%s", group);
	int rc = cop_h5_read_strings(f, path, &name, &n, err);
	for (size_t i = 0; i < n && !rc; i++)
		rc = load_one_layout(f, group, name[i], l, err);
	for (size_t i = 0; i < n; i++)
		free(name[i]);
	free(name);
	free(path);
	return rc;
}

int cop_load_known(struct cop_h5 *f, const char *group, const struct cop_layout *l, float *arena, struct cop_err *err)
{
	int rc = 0;
	for (size_t i = 0; i < l->n && !rc; i++) {
		const struct cop_tensor *t = &l->tensor[i];
		int rank = 0;
		int64_t dim[COP_RANK_MAX] = {0};
		char *path = cop_xasprintf("%s/%s", group, t->name);
		rc = cop_h5_shape(f, path, &rank, dim, err);
		if (!rc && (rank != t->rank || memcmp(dim, t->dim, (size_t)rank * sizeof(*dim)) != 0)) {
			char want[80];
			rc = cop_fail(err, COP_EINPUT, "'%s' in '%s' does not have the shape %s", path, cop_h5_path(f),
				      cop_shape_text(t, want, sizeof(want)));
		}
		if (!rc)
			rc = cop_h5_read(f, path, COP_H5_F32, t->count, arena + t->offset, err);
		free(path);
	}
	if (!rc && l->n && cop_digest_wanted(f))
		rc = cop_digest_check(f, group, cop_digest_tensors(l, arena), err);
	return rc;
}

int cop_load_tensors(struct cop_h5 *f, const char *group, struct cop_layout *l, float **arena, struct cop_err *err)
{
	*arena = NULL;
	int rc = load_layout(f, group, l, err);
	if (!rc)
		rc = cop_alloc(arena, l->total, sizeof(float), group, err);
	if (!rc)
		rc = cop_load_known(f, group, l, *arena, err);
	if (rc) {
		free(*arena);
		*arena = NULL;
		cop_layout_release(l);
	}
	return rc;
}

int cop_store_masks(struct cop_h5 *f, const struct cop_layout *l, const uint8_t *mask, struct cop_err *err)
{
	int rc = 0;
	for (size_t i = 0; i < l->n && !rc; i++) {
		const struct cop_tensor *t = &l->tensor[i];
		if (!t->prunable)
			continue;
		char *path = cop_xasprintf("masks/%s", t->name);
		rc = cop_h5_write(f, path, COP_H5_U8, t->rank, t->dim, mask + t->offset, 4, err);
		free(path);
	}
	return rc;
}

int cop_load_masks(struct cop_h5 *f, const struct cop_layout *l, uint8_t *mask, struct cop_err *err)
{
	int rc = 0;
	memset(mask, 1, l->total);
	for (size_t i = 0; i < l->n && !rc; i++) {
		const struct cop_tensor *t = &l->tensor[i];
		if (!t->prunable)
			continue;
		char *path = cop_xasprintf("masks/%s", t->name);
		rc = cop_h5_read(f, path, COP_H5_U8, t->count, mask + t->offset, err);
		free(path);
	}
	return rc;
}

static int store_slots(struct cop_h5 *f, const struct cop_checkpoint *c, struct cop_err *err)
{
	int rc = 0;
	for (size_t s = 0; s < c->nslots && !rc; s++) {
		char *group = cop_xasprintf("optimizer/%s", c->slot_name[s]);
		rc = cop_store_tensors(f, group, &c->params, c->slot[s], 0, err);
		free(group);
	}
	return rc;
}

/* Of what stands at the root; the tensors have digests of their own. */
static uint64_t root_digest(const struct cop_checkpoint *c)
{
	const char *experiment = c->experiment ? c->experiment : "", *hash = c->hash ? c->hash : "";
	uint64_t h = cop_hash(COP_HASH_START, hash, strlen(hash));
	h = cop_hash(h, experiment, strlen(experiment));
	h = cop_hash(h, &c->step, sizeof(c->step));
	return cop_hash(h, &c->epoch, sizeof(c->epoch));
}

int cop_checkpoint_store(struct cop_h5 *f, const struct cop_checkpoint *c, struct cop_err *err)
{
	int rc = cop_store_tensors(f, "params", &c->params, c->param, 0, err);
	if (!rc && c->buffers.n)
		rc = cop_store_tensors(f, "buffers", &c->buffers, c->buffer, 0, err);
	if (!rc)
		rc = store_slots(f, c, err);
	if (!rc)
		rc = cop_h5_put_i64(f, "/", "step", c->step, err);
	if (!rc)
		rc = cop_h5_put_f64(f, "/", "epoch", c->epoch, err);
	if (!rc)
		rc = cop_h5_put_str(f, "/", "experiment", c->experiment ? c->experiment : "", err);
	if (!rc)
		rc = cop_h5_put_str(f, "/", "experiment_hash", c->hash ? c->hash : "", err);
	return rc ? rc : cop_digest_store(f, "/", root_digest(c), err);
}

int cop_checkpoint_write(const char *path, const struct cop_checkpoint *c, struct cop_err *err)
{
	struct cop_h5 *f;
	int rc = cop_h5_create(&f, path, COP_CHECKPOINT_FORMAT, err);
	if (rc)
		return rc;
	rc = cop_checkpoint_store(f, c, err);
	if (rc) {
		cop_h5_abandon(f);
		return rc;
	}
	return cop_h5_commit(f, err);
}

static const char *const known_slots[] = {"momentum", "adam_m", "adam_v"};

static int load_slots(struct cop_h5 *f, struct cop_checkpoint *c, struct cop_err *err)
{
	int rc = 0;
	for (size_t s = 0; s < sizeof(known_slots) / sizeof(known_slots[0]) && !rc; s++) {
		char *group = cop_xasprintf("optimizer/%s", known_slots[s]);
		if (cop_h5_has(f, group)) {
			rc = cop_alloc(&c->slot[c->nslots], c->params.total, sizeof(float), group, err);
			c->slot_name[c->nslots] = known_slots[s];
			if (!rc)
				rc = cop_load_known(f, group, &c->params, c->slot[c->nslots++], err);
		}
		free(group);
	}
	return rc;
}

int cop_checkpoint_load(struct cop_h5 *f, struct cop_checkpoint *c, bool slots, struct cop_err *err)
{
	*c = (struct cop_checkpoint){0};
	int rc = cop_load_tensors(f, "params", &c->params, &c->param, err);
	if (!rc && cop_h5_has(f, "buffers"))
		rc = cop_load_tensors(f, "buffers", &c->buffers, &c->buffer, err);
	if (!rc && slots)
		rc = load_slots(f, c, err);
	if (!rc)
		rc = cop_h5_get_i64(f, "/", "step", &c->step, err);
	if (!rc)
		rc = cop_h5_get_f64(f, "/", "epoch", &c->epoch, err);
	if (!rc)
		rc = cop_h5_get_str(f, "/", "experiment", &c->experiment, err);
	if (!rc)
		rc = cop_h5_get_str(f, "/", "experiment_hash", &c->hash, err);
	if (!rc && cop_digest_wanted(f))
		rc = cop_digest_check(f, "/", root_digest(c), err);
	if (rc)
		cop_checkpoint_release(c);
	return rc;
}

int cop_checkpoint_read(const char *path, struct cop_checkpoint *c, bool slots, struct cop_err *err)
{
	struct cop_h5 *f;
	*c = (struct cop_checkpoint){0};
	int rc = cop_h5_open(&f, path, COP_CHECKPOINT_FORMAT, err);
	if (rc)
		return rc;
	rc = cop_checkpoint_load(f, c, slots, err);
	cop_h5_close(f);
	return rc;
}

void cop_checkpoint_release(struct cop_checkpoint *c)
{
	cop_layout_release(&c->params);
	cop_layout_release(&c->buffers);
	free(c->param);
	free(c->buffer);
	for (size_t s = 0; s < COP_SLOTS_MAX; s++)
		free(c->slot[s]);
	free(c->experiment);
	free(c->hash);
	*c = (struct cop_checkpoint){0};
}
