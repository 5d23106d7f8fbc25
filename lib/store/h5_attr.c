/* HDF5 files: attributes; see h5.h. */
#include "base/mem.h"
#include "store/h5.h"
#include "store/h5_priv.h"

#include <stdlib.h>
#include <string.h>

static int put_attr(struct cop_h5 *f, const char *object, const char *name, hid_t stored, hid_t given, hsize_t n,
		    bool scalar, const void *v, struct cop_err *err)
{
	int rc = 0;
	hid_t at = H5Oopen(f->id, object, H5P_DEFAULT);
	hid_t space = scalar ? H5Screate(H5S_SCALAR) : H5Screate_simple(1, &n, NULL);
	hid_t attr = H5Acreate2(at, name, stored, space, H5P_DEFAULT, H5P_DEFAULT);
	if (attr < 0 || H5Awrite(attr, given, v) < 0)
		rc = cop_h5_fail(err, COP_EFAILED, f, "cannot write attribute", name);
	if (attr >= 0 && H5Aclose(attr) < 0 && !rc)
		rc = cop_h5_fail(err, COP_EFAILED, f, "cannot write attribute", name);
	cop_h5_close_all((hid_t[]){space, at}, 2);
	return rc;
}

int cop_h5_put_i64(struct cop_h5 *f, const char *object, const char *name, int64_t v, struct cop_err *err)
{
	return put_attr(f, object, name, H5T_STD_I64LE, H5T_NATIVE_INT64, 1, true, &v, err);
}

int cop_h5_put_f64(struct cop_h5 *f, const char *object, const char *name, double v, struct cop_err *err)
{
	return put_attr(f, object, name, H5T_IEEE_F64LE, H5T_NATIVE_DOUBLE, 1, true, &v, err);
}

int cop_h5_put_f32s(struct cop_h5 *f, const char *object, const char *name, const float *v, size_t n,
		    struct cop_err *err)
{
	return put_attr(f, object, name, H5T_IEEE_F32LE, H5T_NATIVE_FLOAT, n, false, v, err);
}

/* Attributes hold up to 64 KiB; a longer text is an error of HDF5's, reported as such. */
hid_t cop_h5_string_type(void)
{
	hid_t t = H5Tcopy(H5T_C_S1);
	/* half of it would be a type too, of one character */
	if (t >= 0 && (H5Tset_size(t, H5T_VARIABLE) < 0 || H5Tset_cset(t, H5T_CSET_UTF8) < 0))
		t = -1;
	return t;
}

int cop_h5_put_str(struct cop_h5 *f, const char *object, const char *name, const char *v, struct cop_err *err)
{
	hid_t t = cop_h5_string_type();
	int rc = put_attr(f, object, name, t, t, 1, true, &v, err);
	cop_h5_close_all(&t, 1);
	return rc;
}

/* An attribute of the root is asked for without a walk to it: thousands of small files are read for theirs. */
static hid_t open_attr(struct cop_h5 *f, const char *object, const char *name)
{
	if (strcmp(object, "/") == 0)
		return H5Aopen(f->id, name, H5P_DEFAULT);
	return H5Aopen_by_name(f->id, object, name, H5P_DEFAULT, H5P_DEFAULT);
}

/* After open_attr() has failed. */
static int lacks_attr(struct cop_err *err, const struct cop_h5 *f, const char *object, const char *name)
{
	if (cop_h5_code(COP_EINPUT) == COP_EFAILED)
		return cop_h5_fail(err, COP_EFAILED, f, "cannot read attribute", name);
	return cop_h5_lacks(err, f, "lacks attribute '%s' of '%s'", name, object);
}

static int get_attr(struct cop_h5 *f, const char *object, const char *name, hid_t type, size_t count, void *v,
		    struct cop_err *err)
{
	int rc = 0;
	hid_t attr = open_attr(f, object, name);
	hid_t space = attr < 0 ? -1 : H5Aget_space(attr);
	if (attr < 0)
		return lacks_attr(err, f, object, name);
	if (space < 0)
		rc = cop_h5_fail(err, COP_EINPUT, f, "cannot read attribute", name);
	else if (H5Sget_simple_extent_npoints(space) != (hssize_t)count)
		rc = cop_fail(err, COP_EINPUT, "attribute '%s' of '%s' in '%s' does not have %zu elements", name,
			      object, f->path, count);
	else if (H5Aread(attr, type, v) < 0)
		rc = cop_h5_fail(err, COP_EINPUT, f, "cannot read attribute", name);
	cop_h5_close_all((hid_t[]){space, attr}, 2);
	return rc;
}

int cop_h5_get_i64(struct cop_h5 *f, const char *object, const char *name, int64_t *v, struct cop_err *err)
{
	return get_attr(f, object, name, H5T_NATIVE_INT64, 1, v, err);
}

int cop_h5_get_f64(struct cop_h5 *f, const char *object, const char *name, double *v, struct cop_err *err)
{
	return get_attr(f, object, name, H5T_NATIVE_DOUBLE, 1, v, err);
}

int cop_h5_get_f32s(struct cop_h5 *f, const char *object, const char *name, float *v, size_t n, struct cop_err *err)
{
	return get_attr(f, object, name, H5T_NATIVE_FLOAT, n, v, err);
}

static int read_text(struct cop_h5 *f, const char *name, hid_t attr, hid_t stored, bool variable, char **v,
		     struct cop_err *err)
{
	char *got = variable ? NULL : cop_xcalloc(H5Tget_size(stored) + 1, 1);
	int rc = H5Aread(attr, stored, variable ? (void *)&got : got) < 0
			 ? cop_h5_fail(err, COP_EINPUT, f, "cannot read attribute", name)
			 : 0;
	if (!rc)
		*v = cop_xstrdup(got ? got : "");
	if (!variable)
		free(got);
	else if (!rc)
		H5free_memory(got);
	return rc;
}

int cop_h5_get_str(struct cop_h5 *f, const char *object, const char *name, char **v, struct cop_err *err)
{
	hid_t attr = open_attr(f, object, name);
	if (attr < 0)
		return lacks_attr(err, f, object, name);
	int rc = 0;
	htri_t variable = 0;
	hid_t space = H5Aget_space(attr), stored = space < 0 ? -1 : H5Aget_type(attr);
	if (stored < 0 || (variable = H5Tis_variable_str(stored)) < 0)
		rc = cop_h5_fail(err, COP_EINPUT, f, "cannot read attribute", name);
	else if (H5Sget_simple_extent_npoints(space) != 1 || H5Tget_class(stored) != H5T_STRING)
		rc = cop_fail(err, COP_EINPUT, "attribute '%s' of '%s' in '%s' is no string", name, object, f->path);
	else
		rc = read_text(f, name, attr, stored, variable > 0, v, err);
	cop_h5_close_all((hid_t[]){stored, space, attr}, 3);
	return rc;
}
