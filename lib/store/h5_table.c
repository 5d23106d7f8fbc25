/* Tables of compound rows; see h5_table.h. */
#include "store/h5_table.h"

#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

enum { CHUNK_BYTES = 1 << 15 };

/* As the file has it: without the gaps that it has in memory. -1 where it cannot be made. */
static hid_t packed(hid_t type)
{
	hid_t stored = H5Tcopy(type);
	return stored >= 0 && H5Tpack(stored) < 0 ? -1 : stored;
}

static hid_t open_table(struct cop_h5 *f, const char *path)
{
	return cop_h5_has(f, path) ? H5Dopen2(cop_h5_id(f), path, H5P_DEFAULT) : -1;
}

/* Not deflated: a chunk that changed would be another size, and move. */
static hid_t create(struct cop_h5 *f, const char *path, hid_t type, struct cop_err *err)
{
	hid_t stored = packed(type), dcpl = H5Pcreate(H5P_DATASET_CREATE), set = -1;
	size_t each = stored < 0 ? 0 : H5Tget_size(stored);
	hsize_t zero = 0, any = H5S_UNLIMITED, chunk = each ? CHUNK_BYTES / each : 0;
	hid_t space = H5Screate_simple(1, &zero, &any);
	if (chunk && space >= 0 && H5Pset_obj_track_times(dcpl, false) >= 0 && H5Pset_chunk(dcpl, 1, &chunk) >= 0 &&
	    H5Pset_fletcher32(dcpl) >= 0)
		set = H5Dcreate2(cop_h5_id(f), path, stored, space, H5P_DEFAULT, dcpl, H5P_DEFAULT);
	if (set < 0)
		cop_h5_fail(err, COP_EFAILED, f, "cannot create", path);
	cop_h5_close_all((hid_t[]){space, dcpl, stored}, 3);
	return set;
}

/* One of another type was written by another version. */
static bool rewritable(struct cop_h5 *f, const char *path, hid_t type)
{
	hid_t set = open_table(f, path), dcpl = set < 0 ? -1 : H5Dget_create_plist(set);
	bool can = dcpl >= 0 && H5Pget_layout(dcpl) == H5D_CHUNKED && cop_h5_table_is(f, path, type);
	cop_h5_close_all((hid_t[]){dcpl, set}, 2);
	return can;
}

int cop_h5_table_write(struct cop_h5 *f, const char *path, hid_t type, const void *rows, size_t n, struct cop_err *err)
{
	bool old = rewritable(f, path, type);
	int rc = old ? 0 : cop_h5_drop(f, path, err);
	if (rc)
		return rc;
	hsize_t all = n;
	hid_t set = old ? open_table(f, path) : create(f, path, type, err);
	if (!old && set < 0)
		return COP_EFAILED;
	if (set < 0 || H5Dset_extent(set, &all) < 0 ||
	    (n && H5Dwrite(set, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, rows) < 0))
		rc = cop_h5_fail(err, COP_EFAILED, f, "cannot write", path);
	/* closing writes the last chunk: on a full disk this is where it fails */
	if (set >= 0 && H5Dclose(set) < 0 && !rc)
		rc = cop_h5_fail(err, COP_EFAILED, f, "cannot write", path);
	return rc;
}

int cop_h5_table_read(struct cop_h5 *f, const char *path, hid_t type, size_t most, void *rows, size_t *n,
		      struct cop_err *err)
{
	hid_t set = open_table(f, path), space = set < 0 ? -1 : H5Dget_space(set);
	hssize_t count = space >= 0 && H5Sget_simple_extent_ndims(space) == 1 ? H5Sget_simple_extent_npoints(space)
									      : -1;
	int rc = 0;
	if (count < 0)
		rc = cop_h5_code(COP_EINPUT) == COP_EFAILED ? cop_h5_fail(err, COP_EFAILED, f, "cannot open", path)
							    : cop_h5_lacks(err, f, "has no table '%s'", path);
	else if ((size_t)count > most)
		rc = cop_fail(err, COP_EINPUT, "'%s' in '%s' has a size that cannot be", path, cop_h5_path(f));
	if (!rc)
		rc = cop_alloc(rows, (size_t)count, H5Tget_size(type), "a table", err);
	if (!rc && count && H5Dread(set, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, *(void **)rows) < 0)
		rc = cop_h5_fail(err, COP_EINPUT, f, "cannot read", path);
	*n = rc ? 0 : (size_t)count;
	cop_h5_close_all((hid_t[]){space, set}, 2);
	return rc;
}

bool cop_h5_table_has(struct cop_h5 *f, const char *path, const char *field)
{
	hid_t set = open_table(f, path), is = set < 0 ? -1 : H5Dget_type(set);
	bool has = is < 0;
	for (int i = 0; is >= 0 && H5Tget_class(is) == H5T_COMPOUND && i < H5Tget_nmembers(is) && !has; i++) {
		char *name = H5Tget_member_name(is, (unsigned)i);
		has = name && strcmp(name, field) == 0;
		H5free_memory(name);
	}
	cop_h5_close_all((hid_t[]){is, set}, 2);
	return has;
}

bool cop_h5_table_is(struct cop_h5 *f, const char *path, hid_t type)
{
	hid_t set = open_table(f, path), is = set < 0 ? -1 : H5Dget_type(set), want = packed(type);
	bool same = is >= 0 && H5Tequal(is, want) > 0;
	cop_h5_close_all((hid_t[]){want, is, set}, 3);
	return same;
}
