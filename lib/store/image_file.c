/* Images from the file one by one; see image_file.h. */
#include "store/image_file.h"

#include "base/layout.h"
#include "base/mem.h"
#include "store/h5_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { BLOCK = 1 << 16, CHECKSUM = 4, CACHE_BYTES = 64 << 20, CACHE_SLOTS = 1009 };

struct cop_image_file {
	char *path;
	const char *split;
	size_t each; /* bytes an image */
	int64_t n;   /* images */
	hsize_t shape[4];

	/* read past HDF5; fd -1: through it */
	int fd;
	uint64_t rows;           /* images a chunk */
	uint64_t *at;            /* where each chunk begins */
	bool sums;               /* chunks end with a checksum */
	_Atomic uint8_t *passed; /* chunks whose checksum was right */

	struct cop_h5 *h5;
	hid_t set;
};

/* A chunk of the whole's width and height and channels is a run of images. */
static bool chunks_are_runs(hid_t plist, struct cop_image_file *f)
{
	hsize_t chunk[4];
	if (H5Pget_chunk(plist, 4, chunk) != 4 || chunk[0] < 1)
		return false;
	for (int k = 1; k < 4; k++)
		if (chunk[k] != f->shape[k])
			return false;
	f->rows = chunk[0];
	int filters = H5Pget_nfilters(plist);
	size_t none = 0;
	unsigned flags;
	f->sums = filters == 1;
	return filters == 0 ||
	       (filters == 1 && H5Pget_filter2(plist, 0, &flags, &none, NULL, 0, NULL, NULL) == H5Z_FILTER_FLETCHER32);
}

static bool find_chunks(struct cop_image_file *f)
{
#if H5_VERSION_GE(1, 10, 5)
	uint64_t n = ((uint64_t)f->n + f->rows - 1) / f->rows, bytes;
	if (__builtin_mul_overflow(f->rows, f->each, &bytes) || bytes > INT64_MAX / 2)
		return false;
	bytes += f->sums ? CHECKSUM : 0;
	f->at = calloc(n, sizeof(*f->at));
	f->passed = calloc(n, 1);
	for (uint64_t k = 0; k < n; k++) {
		const hsize_t first[4] = {k * f->rows};
		unsigned skipped;
		haddr_t at;
		hsize_t size;
		if (!f->at || !f->passed || H5Dget_chunk_info_by_coord(f->set, first, &skipped, &at, &size) < 0 ||
		    at == HADDR_UNDEF || skipped || size != bytes || at > (uint64_t)INT64_MAX - bytes)
			return false;
		f->at[k] = at;
	}
	return true;
#else
	(void)f;
	return false;
#endif
}

static bool find_contiguous(struct cop_image_file *f, hid_t plist)
{
	haddr_t at = H5Dget_offset(f->set);
	uint64_t bytes;
	if (H5Pget_external_count(plist) != 0 || at == HADDR_UNDEF ||
	    __builtin_mul_overflow((uint64_t)f->n, f->each, &bytes) || bytes > INT64_MAX / 2 ||
	    at > (uint64_t)INT64_MAX - bytes)
		return false;
	f->rows = (uint64_t)f->n;
	f->at = cop_xcalloc(1, sizeof(*f->at));
	f->at[0] = at;
	return true;
}

/* The descriptor of a file that begins at its first byte, as one of our own; -1 where there is none. */
static int descriptor(const struct cop_h5 *h5)
{
	hid_t access = H5Fget_access_plist(cop_h5_id(h5)), creation = H5Fget_create_plist(cop_h5_id(h5));
	hsize_t before = 1;
	void *handle = NULL;
	int fd = -1;
	if (H5Pget_driver(access) == H5FD_SEC2 && H5Pget_userblock(creation, &before) >= 0 && before == 0 &&
	    H5Fget_vfd_handle(cop_h5_id(h5), H5P_DEFAULT, &handle) >= 0 && handle)
		fd = fcntl(*(int *)handle, F_DUPFD_CLOEXEC, 0);
	H5Pclose(access);
	H5Pclose(creation);
	return fd;
}

/* Leaves f->fd at -1 where the images must be read through HDF5. */
static void find_images(struct cop_image_file *f)
{
	hid_t plist = H5Dget_create_plist(f->set);
	H5D_layout_t layout = H5Pget_layout(plist);
	bool found = f->n > 0 && (layout == H5D_CHUNKED ? chunks_are_runs(plist, f) && find_chunks(f)
							: layout == H5D_CONTIGUOUS && find_contiguous(f, plist));
	H5Pclose(plist);
	if (found)
		f->fd = descriptor(f->h5);
	/* a reader that jumps has no use for what comes after */
	if (f->fd >= 0)
		posix_fadvise(f->fd, 0, 0, POSIX_FADV_RANDOM);
}

static int check_shape(struct cop_image_file *f, const struct cop_dataset_info *d, const char *set, struct cop_err *err)
{
	int rank = 0;
	int64_t dim[COP_RANK_MAX] = {0};
	int rc = cop_h5_shape(f->h5, set, &rank, dim, err);
	if (rc)
		return rc;
	if (rank != 4 || dim[0] != f->n || dim[1] != d->height || dim[2] != d->width || dim[3] != d->channels)
		return cop_fail(err, COP_EINPUT, "'%s' in '%s' has changed its shape", set, d->path);
	for (int k = 0; k < 4; k++)
		f->shape[k] = (hsize_t)dim[k];
	return 0;
}

static int open_set(struct cop_image_file *f, const struct cop_dataset_info *d, struct cop_err *err)
{
	char set[32];
	snprintf(set, sizeof(set), "%s/images", f->split);
	int rc = cop_h5_open(&f->h5, d->path, "coppice-dataset", err);
	if (!rc)
		rc = check_shape(f, d, set, err);
	if (rc)
		return rc;
	hid_t plist = H5Pcreate(H5P_DATASET_ACCESS);
	H5Pset_chunk_cache(plist, CACHE_SLOTS, CACHE_BYTES, 1.0);
	f->set = H5Dopen2(cop_h5_id(f->h5), set, plist);
	H5Pclose(plist);
	return f->set < 0 ? cop_h5_fail(err, COP_EINPUT, f->h5, "cannot read", set) : 0;
}

static void close_set(struct cop_image_file *f)
{
	if (f->set >= 0)
		H5Dclose(f->set);
	cop_h5_close(f->h5);
	f->set = -1;
	f->h5 = NULL;
}

int cop_image_file_open(struct cop_image_file **out, const struct cop_dataset_info *d, enum cop_split split,
			struct cop_err *err)
{
	struct cop_image_file *f = cop_xcalloc(1, sizeof(*f));
	f->path = cop_xstrdup(d->path);
	f->split = cop_split_names[split];
	f->each = (size_t)d->height * (size_t)d->width * (size_t)d->channels;
	f->n = d->n[split];
	f->fd = -1;
	f->set = -1;
	int rc = open_set(f, d, err);
	if (rc) {
		cop_image_file_close(f);
		return rc;
	}
	find_images(f);
	if (f->fd >= 0)
		close_set(f);
	*out = f;
	return 0;
}

void cop_image_file_close(struct cop_image_file *f)
{
	if (!f)
		return;
	close_set(f);
	if (f->fd >= 0)
		close(f->fd);
	free(f->at);
	free((void *)f->passed);
	free(f->path);
	free(f);
}

bool cop_image_file_shared(const struct cop_image_file *f)
{
	return f->fd >= 0;
}

static int read_at(const struct cop_image_file *f, uint64_t at, size_t bytes, uint8_t *out, struct cop_err *err)
{
	while (bytes) {
		ssize_t got = pread(f->fd, out, bytes, (off_t)at);
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return cop_fail_errno(err, COP_EINPUT, "cannot read images of '%s'", f->path);
		if (got == 0)
			return cop_fail(err, COP_EINPUT, "'%s' ends before its %s images do", f->path, f->split);
		out += got;
		at += (uint64_t)got;
		bytes -= (size_t)got;
	}
	return 0;
}

/* Fletcher's (1982) sums of 16-bit words, high byte first, modulo 65535; `bytes` is even but at the end. */
static void add_words(uint64_t sum[2], const uint8_t *p, size_t bytes)
{
	for (size_t i = 0; i < bytes; i += 2) {
		sum[0] += (uint64_t)p[i] << 8 | (i + 1 < bytes ? p[i + 1] : 0);
		sum[1] += sum[0];
	}
	sum[0] %= 65535;
	sum[1] %= 65535;
}

/* HDF5 keeps the sums, the second one high, as 32 bits little-endian; a 0 may stand there as 65535. */
static int check_chunk(struct cop_image_file *f, uint64_t chunk, struct cop_err *err)
{
	uint8_t block[BLOCK];
	uint64_t sum[2] = {0, 0}, bytes = f->rows * f->each;
	int rc = 0;
	for (uint64_t done = 0; done < bytes && !rc; done += BLOCK) {
		size_t n = bytes - done < BLOCK ? (size_t)(bytes - done) : BLOCK;
		rc = read_at(f, f->at[chunk] + done, n, block, err);
		if (!rc)
			add_words(sum, block, n);
	}
	if (!rc)
		rc = read_at(f, f->at[chunk] + bytes, CHECKSUM, block, err);
	if (rc)
		return rc;
	unsigned first = block[0] | (unsigned)block[1] << 8, second = block[2] | (unsigned)block[3] << 8;
	if (first % 65535 != sum[0] || second % 65535 != sum[1])
		return cop_fail(err, COP_EINPUT,
				"'%s' is damaged: the checksum of %s images %llu to %llu is wrong (pack it anew)",
				f->path, f->split, (unsigned long long)(chunk * f->rows),
				(unsigned long long)((chunk + 1) * f->rows < (uint64_t)f->n ? (chunk + 1) * f->rows
											    : (uint64_t)f->n) -
					1);
	return 0;
}

static int read_through(struct cop_image_file *f, uint32_t index, uint8_t *out, struct cop_err *err)
{
	hsize_t start[4] = {index}, count[4] = {1, f->shape[1], f->shape[2], f->shape[3]};
	hid_t space = H5Dget_space(f->set), memory = H5Screate_simple(4, count, NULL);
	int rc = 0;
	if (H5Sselect_hyperslab(space, H5S_SELECT_SET, start, NULL, count, NULL) < 0 ||
	    H5Dread(f->set, H5T_NATIVE_UINT8, memory, space, H5P_DEFAULT, out) < 0)
		rc = cop_h5_fail(err, COP_EINPUT, f->h5, "cannot read images of", f->split);
	H5Sclose(memory);
	H5Sclose(space);
	return rc;
}

int cop_image_file_read(struct cop_image_file *f, uint32_t index, uint8_t *out, struct cop_err *err)
{
	if (index >= f->n)
		COP_BUG("no such image");
	if (f->fd < 0)
		return read_through(f, index, out, err);
	uint64_t chunk = index / f->rows;
	if (f->sums && !atomic_load_explicit(&f->passed[chunk], memory_order_relaxed)) {
		int rc = check_chunk(f, chunk, err);
		if (rc)
			return rc;
		atomic_store_explicit(&f->passed[chunk], 1, memory_order_relaxed);
	}
	return read_at(f, f->at[chunk] + index % f->rows * f->each, f->each, out, err);
}
