/* Scanning float tensors; see scan.h. */
#include "store/scan.h"

#include "base/file.h"
#include "base/mem.h"
#include "store/h5_priv.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* HDF5 keeps about a kilobyte for each chunk that one reading touches. */
enum { CHUNKS_AT_ONCE = 4096 };

char *cop_block_place(const struct cop_block *b, size_t i, char *buf, size_t size)
{
	uint64_t at[COP_SCAN_RANK];
	size_t n = (size_t)snprintf(buf, size, "[");
	for (int d = b->rank - 1; d >= 0; d--) {
		at[d] = b->start[d] + i % b->count[d];
		i /= b->count[d];
	}
	for (int d = 0; d < b->rank && n < size; d++)
		n += (size_t)snprintf(buf + n, size - n, "%s%" PRIu64, d ? ", " : "", at[d]);
	if (n < size)
		snprintf(buf + n, size - n, "]");
	return buf;
}

/* The bits of a floating-point type. */
struct fields {
	size_t size, sign, exponent, exponent_size, mantissa, mantissa_size, bias;
};

static bool is_ieee(const struct fields *f)
{
	static const struct fields known[] = {
		{2, 15, 10, 5, 0, 10, 15}, {4, 31, 23, 8, 0, 23, 127}, {8, 63, 52, 11, 0, 52, 1023}};
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		if (memcmp(f, &known[i], sizeof(*f)) == 0)
			return true;
	return false;
}

/* How a stored type is read; false where its numbers may not fit a double. The caller closes *memory. */
static bool choose_type(hid_t stored, enum cop_float *type, hid_t *memory)
{
	struct fields f = {.size = H5Tget_size(stored), .bias = H5Tget_ebias(stored)};
	H5T_order_t order = H5Tget_order(stored);
	if (H5Tget_fields(stored, &f.sign, &f.exponent, &f.exponent_size, &f.mantissa, &f.mantissa_size) < 0)
		return false;
	if (is_ieee(&f) && H5Tget_norm(stored) == H5T_NORM_IMPLIED &&
	    (order == H5T_ORDER_LE || order == H5T_ORDER_BE)) {
		*type = (enum cop_float)f.size;
		*memory = H5Tcopy(stored);
		return *memory >= 0 && H5Tset_order(*memory, H5Tget_order(H5T_NATIVE_INT)) >= 0;
	}
	*type = COP_FLOAT64;
	*memory = H5Tcopy(H5T_NATIVE_DOUBLE);
	return *memory >= 0 && f.exponent_size <= 11 && f.mantissa_size <= 52;
}

/* An open dataset. */
struct set {
	hid_t id, space, stored, memory;
	enum cop_float type;
	int rank;
	hsize_t dim[COP_SCAN_RANK];
	uint64_t count;
	bool is_float, fits;
};

static void close_set(struct set *s)
{
	if (s->memory >= 0)
		H5Tclose(s->memory);
	if (s->stored >= 0)
		H5Tclose(s->stored);
	if (s->space >= 0)
		H5Sclose(s->space);
	if (s->id >= 0)
		H5Dclose(s->id);
}

static int get_extent(const struct cop_h5 *f, const char *name, struct set *s, struct cop_err *err)
{
	H5S_class_t class = H5Sget_simple_extent_type(s->space);
	s->count = class == H5S_NULL ? 0 : 1;
	if (class != H5S_SIMPLE)
		return 0;
	s->rank = H5Sget_simple_extent_ndims(s->space);
	if (s->rank < 0 || s->rank > COP_SCAN_RANK || H5Sget_simple_extent_dims(s->space, s->dim, NULL) < 0)
		return cop_h5_fail(err, COP_EINPUT, f, "cannot read the shape of", name);
	for (int d = 0; d < s->rank; d++)
		if (__builtin_mul_overflow(s->count, s->dim[d], &s->count) || s->count > SIZE_MAX / sizeof(double))
			return cop_fail(err, COP_EINPUT, "the size of '%s' in '%s' overflows", name, cop_h5_path(f));
	return 0;
}

/* `access` is a dataset access list or H5P_DEFAULT. After a failure there is nothing to close. */
static int open_set(const struct cop_h5 *f, const char *name, hid_t access, struct set *s, struct cop_err *err)
{
	*s = (struct set){.id = -1, .space = -1, .stored = -1, .memory = -1};
	int rc = 0;
	s->id = H5Dopen2(cop_h5_id(f), name, access);
	if (s->id >= 0)
		s->space = H5Dget_space(s->id);
	if (s->id >= 0)
		s->stored = H5Dget_type(s->id);
	if (s->space < 0 || s->stored < 0)
		rc = cop_h5_fail(err, COP_EINPUT, f, "cannot open", name);
	if (!rc)
		rc = get_extent(f, name, s, err);
	s->is_float = !rc && H5Tget_class(s->stored) == H5T_FLOAT;
	s->fits = s->is_float && choose_type(s->stored, &s->type, &s->memory);
	if (rc)
		close_set(s);
	return rc;
}

struct listing {
	struct cop_scan *scan;
	const char *group;
};

static int add_set(struct cop_scan *scan, char *name, const struct set *set, struct cop_err *err)
{
	int64_t prunable = 0;
	if (set->fits && cop_h5_has_attr(scan->file, name, "prunable")) {
		scan->marked = true;
		int rc = cop_h5_get_i64(scan->file, name, "prunable", &prunable, err);
		if (rc)
			return rc;
	}
	if (set->fits) {
		scan->tensor = cop_grow(scan->tensor, &scan->cap, scan->n + 1, sizeof(*scan->tensor));
		scan->tensor[scan->n++] = (struct cop_scan_tensor){cop_xstrdup(name), set->rank, set->count, set->type,
								   prunable != 0};
	} else if (set->is_float) {
		scan->skipped++;
	}
	return 0;
}

static int list_one(struct cop_h5 *f, const char *path, void *user, struct cop_err *err)
{
	const struct listing *l = user;
	struct set set;
	char *name = cop_xasprintf("%s/%s", strcmp(l->group, "/") == 0 ? "" : l->group, path);
	int rc = open_set(f, name, H5P_DEFAULT, &set, err);
	if (!rc) {
		rc = add_set(l->scan, name, &set, err);
		close_set(&set);
	}
	free(name);
	return rc;
}

int cop_scan_list(struct cop_scan *s, const char *group, struct cop_err *err)
{
	struct listing l = {s, group};
	if (strcmp(group, "/") != 0 && !cop_h5_has(s->file, group))
		return 0;
	return cop_h5_visit(s->file, group, list_one, &l, err);
}

void cop_scan_release(struct cop_scan *s)
{
	for (size_t i = 0; i < s->n; i++)
		free(s->tensor[i].name);
	free(s->tensor);
	s->tensor = NULL;
	s->n = s->cap = 0;
}

/* A part of a dataset. */
struct box {
	hsize_t start[COP_SCAN_RANK], count[COP_SCAN_RANK];
};

typedef int box_fn(const struct box *b, void *user, struct cop_err *err);

/* Cuts `whole` into boxes of at most `step` and visits them in order. */
static int each_box(int rank, const struct box *whole, const hsize_t *step, box_fn *visit, void *user,
		    struct cop_err *err)
{
	struct box b = *whole;
	for (;;) {
		for (int d = 0; d < rank; d++) {
			hsize_t left = whole->start[d] + whole->count[d] - b.start[d];
			b.count[d] = left < step[d] ? left : step[d];
		}
		int rc = visit(&b, user, err);
		if (rc)
			return rc;
		int d = rank - 1;
		for (; d >= 0; d--) {
			b.start[d] += step[d];
			if (b.start[d] < whole->start[d] + whole->count[d])
				break;
			b.start[d] = whole->start[d];
		}
		if (d < 0)
			return 0;
	}
}

/* The largest box of whole units with at most `room` elements (or one unit), filled from the last dimension. */
static void fit_box(int rank, const hsize_t *dim, const hsize_t *unit, hsize_t room, hsize_t most_units, hsize_t *box)
{
	hsize_t units = 1, elements = 1;
	for (int d = 0; d < rank; d++)
		elements *= unit[d];
	for (int d = rank - 1; d >= 0; d--) {
		hsize_t wanted = (dim[d] + unit[d] - 1) / unit[d], factor = wanted;
		factor = factor < room / elements ? factor : room / elements;
		factor = factor < most_units / units ? factor : most_units / units;
		factor = factor ? factor : 1;
		units *= factor;
		elements *= factor;
		box[d] = factor == wanted ? dim[d] : unit[d] * factor;
		if (factor < wanted)
			room = elements; /* what lies before stays at one unit */
	}
}

/* A tensor that is read: `outer` boxes are whole chunks; where one is larger than a block, `inner` slices it. */
struct reading {
	const struct cop_h5 *f;
	const char *name;
	struct set set;
	hsize_t outer[COP_SCAN_RANK], inner[COP_SCAN_RANK];
	void *buffer;
	cop_block_fn *visit;
	void *user;
};

static int read_box(const struct box *box, void *user, struct cop_err *err)
{
	struct reading *r = user;
	struct cop_block b = {.data = r->buffer, .n = 1, .type = r->set.type, .name = r->name, .rank = r->set.rank};
	for (int d = 0; d < b.rank; d++) {
		b.start[d] = box->start[d];
		b.count[d] = box->count[d];
		b.n *= box->count[d];
	}
	hid_t memory = b.rank ? H5Screate_simple(b.rank, box->count, NULL) : H5Screate(H5S_SCALAR);
	int rc = 0;
	if (memory < 0 ||
	    (b.rank && H5Sselect_hyperslab(r->set.space, H5S_SELECT_SET, box->start, NULL, box->count, NULL) < 0) ||
	    H5Dread(r->set.id, r->set.memory, memory, r->set.space, H5P_DEFAULT, r->buffer) < 0)
		rc = cop_h5_fail(err, COP_EINPUT, r->f, "cannot read", r->name);
	if (memory >= 0)
		H5Sclose(memory);
	if (rc)
		return rc;
	rc = r->visit(&b, r->user, err);
	return rc ? cop_context(err, "'%s'", cop_h5_path(r->f)) : 0;
}

static int read_outer(const struct box *box, void *user, struct cop_err *err)
{
	struct reading *r = user;
	return each_box(r->set.rank, box, r->inner, read_box, r, err);
}

/*
 * The dimensions of a chunk, clipped to the dataset's; false where there are none. *packed: the bytes of a chunk that
 * passes through filters, 0 where chunks can be read in part.
 */
static bool get_chunk(const struct set *s, hsize_t *chunk, size_t *packed)
{
	hid_t list = H5Dget_create_plist(s->id);
	bool chunked = s->rank && H5Pget_layout(list) == H5D_CHUNKED && H5Pget_chunk(list, s->rank, chunk) == s->rank;
	*packed = chunked && H5Pget_nfilters(list) > 0 ? H5Tget_size(s->stored) : 0;
	H5Pclose(list);
	for (int d = 0; chunked && d < s->rank; d++) {
		*packed *= chunk[d];
		chunk[d] = chunk[d] < s->dim[d] ? chunk[d] : s->dim[d];
	}
	return chunked;
}

/* Opens the dataset again with a cache that holds one chunk, so that its slices unpack it once. */
static int keep_chunk(struct reading *r, size_t bytes, struct cop_err *err)
{
	hid_t access = H5Pcreate(H5P_DATASET_ACCESS);
	close_set(&r->set);
	r->set = (struct set){.id = -1, .space = -1, .stored = -1, .memory = -1};
	int rc = 0;
	if (access < 0 || H5Pset_chunk_cache(access, 1, bytes, 1.0) < 0)
		rc = cop_h5_fail(err, COP_EFAILED, r->f, "cannot set up reading", r->name);
	if (!rc)
		rc = open_set(r->f, r->name, access, &r->set, err);
	if (access >= 0)
		H5Pclose(access);
	return rc;
}

/* Chooses the boxes and gets a buffer for the inner ones. */
static int plan_reading(struct reading *r, struct cop_err *err)
{
	const struct set *s = &r->set;
	hsize_t one[COP_SCAN_RANK], chunk[COP_SCAN_RANK], room = COP_SCAN_BYTES / (size_t)s->type, size = 1, inner = 1;
	size_t packed;
	for (int d = 0; d < s->rank; d++)
		one[d] = 1;
	bool chunked = get_chunk(s, chunk, &packed);
	fit_box(s->rank, s->dim, chunked ? chunk : one, room, chunked ? CHUNKS_AT_ONCE : room, r->outer);
	for (int d = 0; d < s->rank; d++)
		size *= r->outer[d];
	fit_box(s->rank, r->outer, one, room, room, r->inner);
	for (int d = 0; d < s->rank; d++)
		inner *= r->inner[d];
	int rc = cop_alloc(&r->buffer, inner, (size_t)s->type, "a block of a tensor", err);
	if (!rc && packed && inner < size)
		rc = keep_chunk(r, packed, err);
	return rc;
}

/* Where HDF5 would look for another file: as it is named, and beside the file that names it. */
static bool source_there(const struct cop_h5 *f, const char *name)
{
	char *folder = cop_folder_of(cop_h5_path(f)), *beside = cop_xasprintf("%s/%s", folder, name);
	bool there = cop_exists(name) || cop_exists(beside);
	free(beside);
	free(folder);
	return there;
}

/* HDF5 gives fill values for the sources of a virtual dataset that are missing: no numbers to make statistics of. */
static int check_sources(const struct reading *r, struct cop_err *err)
{
	hid_t list = H5Dget_create_plist(r->set.id);
	size_t n = 0;
	int rc = 0;
	if (H5Pget_layout(list) != H5D_VIRTUAL || H5Pget_virtual_count(list, &n) < 0)
		n = 0;
	for (size_t i = 0; i < n && !rc; i++) {
		char name[1024] = "";
		ssize_t len = H5Pget_virtual_filename(list, i, name, sizeof(name));
		if (len > 0 && (size_t)len < sizeof(name) && strcmp(name, ".") != 0 && !source_there(r->f, name))
			rc = cop_fail(err, COP_EINPUT, "'%s' in '%s' takes values from '%s', which is not there",
				      r->name, cop_h5_path(r->f), name);
	}
	H5Pclose(list);
	return rc;
}

int cop_scan_read(const struct cop_scan *scan, size_t i, cop_block_fn *visit, void *user, struct cop_err *err)
{
	struct reading r = {.f = scan->file, .name = scan->tensor[i].name, .visit = visit, .user = user};
	if (scan->tensor[i].count == 0)
		return 0;
	int rc = open_set(r.f, r.name, H5P_DEFAULT, &r.set, err);
	if (rc)
		return rc;
	struct box whole = {.start = {0}};
	memcpy(whole.count, r.set.dim, sizeof(whole.count));
	if (r.set.count != scan->tensor[i].count || !r.set.fits)
		rc = cop_fail(err, COP_EFAILED, "'%s' in '%s' changed while it was read", r.name, cop_h5_path(r.f));
	if (!rc)
		rc = check_sources(&r, err);
	if (!rc)
		rc = plan_reading(&r, err);
	if (!rc)
		rc = each_box(r.set.rank, &whole, r.outer, read_outer, &r, err);
	free(r.buffer);
	close_set(&r.set);
	return rc;
}
