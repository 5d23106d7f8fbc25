/* HDF5 files: datasets; see h5.h. */
#include "base/layout.h"
#include "base/mem.h"
#include "store/h5.h"
#include "store/h5_priv.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CHUNK_BYTES = 1 << 20, PLAIN_BYTES = 4096 };

hid_t cop_h5_native(enum cop_h5_type type)
{
	switch (type) {
	case COP_H5_U8:
		return H5T_NATIVE_UINT8;
	case COP_H5_I32:
		return H5T_NATIVE_INT32;
	case COP_H5_I64:
		return H5T_NATIVE_INT64;
	case COP_H5_F32:
		return H5T_NATIVE_FLOAT;
	case COP_H5_F64:
		return H5T_NATIVE_DOUBLE;
	}
	COP_BUG("no such type");
}

static hid_t stored_type(enum cop_h5_type type)
{
	switch (type) {
	case COP_H5_U8:
		return H5T_STD_U8LE;
	case COP_H5_I32:
		return H5T_STD_I32LE;
	case COP_H5_I64:
		return H5T_STD_I64LE;
	case COP_H5_F32:
		return H5T_IEEE_F32LE;
	case COP_H5_F64:
		return H5T_IEEE_F64LE;
	}
	COP_BUG("no such type");
}

/* Chunks of about a megabyte along the first dimensions, checked and, if asked, deflated. */
static bool set_chunks(hid_t dcpl, int rank, const hsize_t *dim, size_t size, int deflate)
{
	hsize_t chunk[COP_RANK_MAX];
	hsize_t room = CHUNK_BYTES / size;
	for (int i = rank - 1; i >= 0; i--) {
		chunk[i] = dim[i] < room ? dim[i] : room;
		room = room / chunk[i] ? room / chunk[i] : 1;
	}
	return H5Pset_chunk(dcpl, rank, chunk) >= 0 &&
	       (!deflate || (H5Pset_shuffle(dcpl) >= 0 && H5Pset_deflate(dcpl, (unsigned)deflate) >= 0)) &&
	       H5Pset_fletcher32(dcpl) >= 0;
}

/* Without the time at which it was written: the same contents are to be the same bytes. */
static hid_t creation_list(void)
{
	hid_t dcpl = H5Pcreate(H5P_DATASET_CREATE);
	return dcpl >= 0 && H5Pset_obj_track_times(dcpl, false) < 0 ? -1 : dcpl;
}

/* Made once and kept: results have a hundred thousand small datasets. */
static hid_t link_list(void)
{
	static hid_t lcpl = -1;
	if (lcpl < 0) {
		lcpl = H5Pcreate(H5P_LINK_CREATE);
		if (lcpl >= 0 && H5Pset_create_intermediate_group(lcpl, 1) < 0)
			lcpl = -1;
	}
	return lcpl;
}

/* Data of a few numbers lie beside their description, where one access finds both. */
static hid_t small_list(void)
{
	static hid_t dcpl = -1;
	if (dcpl < 0) {
		dcpl = creation_list();
		if (dcpl >= 0 && H5Pset_layout(dcpl, H5D_COMPACT) < 0)
			dcpl = -1;
	}
	return dcpl;
}

/* HDF5 clears a megabyte twice for each conversion, strings among them, unless it is told that less will do. */
static hid_t small_transfer(void)
{
	static hid_t dxpl = -1;
	if (dxpl < 0) {
		dxpl = H5Pcreate(H5P_DATASET_XFER);
		if (dxpl >= 0 && H5Pset_buffer(dxpl, PLAIN_BYTES, NULL, NULL) < 0)
			dxpl = -1;
	}
	return dxpl < 0 ? H5P_DEFAULT : dxpl;
}

/*
 * A new dataset in *set, out of parts of which some may not have been made (-1); closes `space`. Where it fails the
 * message begins with WHAT.
 */
static int create_set(hid_t *set, struct cop_h5 *f, const char *path, hid_t type, hid_t space, hid_t dcpl,
		      const char *what, struct cop_err *err)
{
	int rc = 0;
	hid_t lcpl = link_list();
	*set = -1;
	if (type < 0 || space < 0 || dcpl < 0 || lcpl < 0)
		rc = cop_fail(err, COP_EFAILED, "%s '%s' in '%s': out of memory", what, path, f->path);
	else if ((*set = H5Dcreate2(f->id, path, type, space, lcpl, dcpl, H5P_DEFAULT)) < 0)
		rc = cop_h5_fail(err, COP_EFAILED, f, what, path);
	cop_h5_close_all(&space, 1);
	return rc;
}

/* Writes all of a new dataset, and closes it. */
static int fill_set(hid_t set, struct cop_h5 *f, const char *path, hid_t type, hid_t dxpl, bool any, const void *data,
		    struct cop_err *err)
{
	int rc = 0;
	if (any && H5Dwrite(set, type, H5S_ALL, H5S_ALL, dxpl, data) < 0)
		rc = cop_h5_fail(err, COP_EFAILED, f, "cannot write", path);
	/* what was held back is written now */
	if (H5Dclose(set) < 0 && !rc)
		rc = cop_h5_fail(err, COP_EFAILED, f, "cannot write", path);
	return rc;
}

int cop_h5_write(struct cop_h5 *f, const char *path, enum cop_h5_type type, int rank, const int64_t *dim,
		 const void *data, int deflate, struct cop_err *err)
{
	hsize_t d[COP_RANK_MAX], count = 1;
	for (int i = 0; i < rank; i++)
		count *= d[i] = (hsize_t)dim[i];
	size_t size = H5Tget_size(cop_h5_native(type));
	bool small = !deflate && count && count * size <= PLAIN_BYTES;
	hid_t set, own = small ? -1 : creation_list();
	bool ready = small || !rank || !count || set_chunks(own, rank, d, size, deflate);
	hid_t space = rank ? H5Screate_simple(rank, d, NULL) : H5Screate(H5S_SCALAR);
	int rc = create_set(&set, f, path, stored_type(type), space,
			    small   ? small_list()
			    : ready ? own
				    : -1,
			    "cannot write", err);
	if (!rc)
		rc = fill_set(set, f, path, cop_h5_native(type), H5P_DEFAULT, count > 0, data, err);
	cop_h5_close_all(&own, 1);
	return rc;
}

int cop_h5_write_strings(struct cop_h5 *f, const char *path, const char *const *v, size_t n, struct cop_err *err)
{
	hsize_t d = n;
	bool small = n && n * sizeof(hvl_t) <= PLAIN_BYTES;
	hid_t set, type = cop_h5_string_type(), own = small ? -1 : creation_list();
	int rc = create_set(&set, f, path, type, H5Screate_simple(1, &d, NULL), small ? small_list() : own,
			    "cannot write", err);
	if (!rc)
		rc = fill_set(set, f, path, type, small ? small_transfer() : H5P_DEFAULT, n > 0, v, err);
	cop_h5_close_all((hid_t[]){type, own}, 2);
	return rc;
}

static int open_set(struct cop_h5 *f, const char *path, hid_t *set, hid_t *space, struct cop_err *err)
{
	*space = -1;
	*set = H5Dopen2(f->id, path, H5P_DEFAULT);
	if (*set < 0 && cop_h5_code(COP_EINPUT) == COP_EINPUT)
		return cop_h5_lacks(err, f, "has no dataset '%s'", path);
	*space = *set < 0 ? -1 : H5Dget_space(*set);
	int rc = *space < 0 ? cop_h5_fail(err, COP_EINPUT, f, "cannot open dataset", path) : 0;
	if (rc)
		cop_h5_close_all(set, 1);
	return rc;
}

/* One string of fixed or variable length out of what H5Dread filled. */
static char *copy_string(const char *buf, size_t i, size_t size, bool variable)
{
	if (variable) {
		const char *s = ((char *const *)(const void *)buf)[i];
		return cop_xstrdup(s ? s : "");
	}
	return cop_xasprintf("%.*s", (int)size, buf + i * size);
}

int cop_h5_read_strings(struct cop_h5 *f, const char *path, char ***v, size_t *n, struct cop_err *err)
{
	hid_t set = -1, space = -1;
	int rc = open_set(f, path, &set, &space, err);
	if (rc)
		return rc;
	hid_t type = H5Dget_type(set);
	hssize_t count = H5Sget_simple_extent_npoints(space);
	htri_t variable = H5Tis_variable_str(type);
	size_t size = variable > 0 ? sizeof(char *) : H5Tget_size(type);
	if (count < 0 || type < 0 || variable < 0 || !size) {
		rc = cop_h5_fail(err, COP_EINPUT, f, "cannot read the type of", path);
		cop_h5_close_all((hid_t[]){type, space, set}, 3);
		return rc;
	}
	char *buf = cop_xcalloc((size_t)count + 1, size);
	if (H5Tget_class(type) != H5T_STRING)
		rc = cop_fail(err, COP_EINPUT, "'%s' in '%s' holds no strings", path, f->path);
	else if (count && H5Dread(set, type, H5S_ALL, H5S_ALL,
				  (size_t)count * size <= PLAIN_BYTES ? small_transfer() : H5P_DEFAULT, buf) < 0)
		rc = cop_h5_fail(err, COP_EINPUT, f, "cannot read", path);
	if (!rc) {
		*n = (size_t)count;
		*v = cop_xcalloc(*n, sizeof(char *));
		for (size_t i = 0; i < *n; i++)
			(*v)[i] = copy_string(buf, i, size, variable > 0);
		if (variable > 0 && count)
			H5Dvlen_reclaim(type, space, H5P_DEFAULT, buf);
	}
	free(buf);
	cop_h5_close_all((hid_t[]){type, space, set}, 3);
	return rc;
}

int cop_h5_shape(struct cop_h5 *f, const char *path, int *rank, int64_t *dim, struct cop_err *err)
{
	hid_t set = -1, space = -1;
	int rc = open_set(f, path, &set, &space, err);
	if (rc)
		return rc;
	int n = H5Sget_simple_extent_ndims(space);
	hsize_t d[H5S_MAX_RANK];
	if (n < 0 || n > COP_RANK_MAX || H5Sget_simple_extent_dims(space, d, NULL) < 0) {
		rc = cop_fail(err, COP_EINPUT, "'%s' in '%s' has %d dimensions, at most %d are known", path, f->path, n,
			      COP_RANK_MAX);
	} else {
		*rank = n;
		for (int i = 0; i < n; i++)
			dim[i] = (int64_t)d[i];
	}
	H5Sclose(space);
	H5Dclose(set);
	return rc;
}

int cop_h5_read(struct cop_h5 *f, const char *path, enum cop_h5_type type, size_t count, void *data,
		struct cop_err *err)
{
	hid_t set = -1, space = -1;
	int rc = open_set(f, path, &set, &space, err);
	if (rc)
		return rc;
	hssize_t there = H5Sget_simple_extent_npoints(space);
	if (there != (hssize_t)count)
		rc = cop_fail(err, COP_EINPUT, "'%s' in '%s' has %lld elements, %zu expected", path, f->path,
			      (long long)there, count);
	else if (count && H5Dread(set, cop_h5_native(type), H5S_ALL, H5S_ALL, H5P_DEFAULT, data) < 0)
		rc = cop_h5_fail(err, COP_EINPUT, f, "cannot read", path);
	H5Sclose(space);
	H5Dclose(set);
	return rc;
}

struct visiting {
	struct cop_h5 *f;
	const char *group;
	int (*visit)(struct cop_h5 *f, const char *path, void *user, struct cop_err *err);
	void *user;
	struct cop_err *err;
};

static herr_t visit_object(hid_t id, const char *name, const H5O_info_t *info, void *user)
{
	struct visiting *v = user;
	(void)id;
	return info->type == H5O_TYPE_DATASET ? v->visit(v->f, name, v->user, v->err) : 0;
}

int cop_h5_visit(struct cop_h5 *f, const char *group,
		 int (*visit)(struct cop_h5 *f, const char *path, void *user, struct cop_err *err), void *user,
		 struct cop_err *err)
{
	struct visiting v = {.f = f, .group = group, .visit = visit, .user = user, .err = err};
	struct cop_err before = {0};
	if (err)
		before = *err;
	if (strcmp(group, "/") != 0 && (!cop_h5_has(f, group) || f->late.code))
		return cop_h5_lacks(err, f, "has no group '%s'", group);
	herr_t rc = H5Ovisit_by_name2(f->id, group, H5_INDEX_NAME, H5_ITER_INC, visit_object, &v, H5O_INFO_BASIC,
				      H5P_DEFAULT);
	if (rc < 0 && err && memcmp(&before, err, sizeof(before)) == 0)
		return cop_h5_fail(err, COP_EINPUT, f, "cannot list", group);
	return rc;
}

struct cop_h5_rows {
	struct cop_h5 *f;
	char *path;
	hid_t set;
	enum cop_h5_type type;
	int rank;
	hsize_t dim[COP_RANK_MAX]; /* dim[0]: rows so far */
};

int cop_h5_rows_create(struct cop_h5_rows **out, struct cop_h5 *f, const char *path, enum cop_h5_type type, int rank,
		       const int64_t *dim, int deflate, struct cop_err *err)
{
	struct cop_h5_rows *r = cop_xcalloc(1, sizeof(*r));
	*r = (struct cop_h5_rows){.f = f, .path = cop_xstrdup(path), .type = type, .rank = rank};
	hsize_t chunk[COP_RANK_MAX], most[COP_RANK_MAX];
	for (int i = 0; i < rank; i++) {
		chunk[i] = (hsize_t)dim[i];
		r->dim[i] = most[i] = i ? chunk[i] : 0;
	}
	most[0] = H5S_UNLIMITED;
	hid_t dcpl = creation_list();
	bool ready = H5Pset_chunk(dcpl, rank, chunk) >= 0 &&
		     (!deflate || H5Pset_deflate(dcpl, (unsigned)deflate) >= 0) && H5Pset_fletcher32(dcpl) >= 0;
	int rc = create_set(&r->set, f, path, stored_type(type), H5Screate_simple(rank, r->dim, most),
			    ready ? dcpl : -1, "cannot create", err);
	cop_h5_close_all(&dcpl, 1);
	if (rc) {
		cop_h5_rows_free(r);
		return rc;
	}
	*out = r;
	return 0;
}

int cop_h5_rows_append(struct cop_h5_rows *r, const void *data, int64_t rows, struct cop_err *err)
{
	if (rows == 0)
		return 0;
	hsize_t start[COP_RANK_MAX] = {r->dim[0]}, count[COP_RANK_MAX];
	for (int i = 0; i < r->rank; i++)
		count[i] = r->dim[i];
	count[0] = (hsize_t)rows;
	r->dim[0] += (hsize_t)rows;
	int rc = 0;
	hid_t space = -1, memory = H5Screate_simple(r->rank, count, NULL);
	if (H5Dset_extent(r->set, r->dim) < 0 || (space = H5Dget_space(r->set)) < 0 ||
	    H5Sselect_hyperslab(space, H5S_SELECT_SET, start, NULL, count, NULL) < 0 ||
	    H5Dwrite(r->set, cop_h5_native(r->type), memory, space, H5P_DEFAULT, data) < 0)
		rc = cop_h5_fail(err, COP_EFAILED, r->f, "cannot write", r->path);
	if (space >= 0)
		H5Sclose(space);
	H5Sclose(memory);
	return rc;
}

void cop_h5_rows_free(struct cop_h5_rows *r)
{
	if (!r)
		return;
	/* closing writes the last chunk: on a full disk this is where it fails */
	if (r->set >= 0 && H5Dclose(r->set) < 0)
		cop_h5_fail(&r->f->late, COP_EFAILED, r->f, "cannot write", r->path);
	free(r->path);
	free(r);
}
