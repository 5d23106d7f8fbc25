/* HDF5 files: opening, closing and attributes; see h5.h. */
#include "store/h5.h"

#include "base/file.h"
#include "base/mem.h"
#include "base/version.h"
#include "store/h5_priv.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { FORMAT_VERSION = 1 };

void cop_h5_quiet(void)
{
	/* our files are closed by then; one whose disk was full would make the library crash as the program ends */
	H5dont_atexit();
	H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
}

const char *cop_h5_library(char *buf, size_t size)
{
	unsigned major = 0, minor = 0, release = 0;
	H5get_libversion(&major, &minor, &release);
	snprintf(buf, size, "%u.%u.%u", major, minor, release);
	return buf;
}

static herr_t innermost(unsigned n, const H5E_error2_t *e, void *user)
{
	char *buf = user;
	if (n == 0 && e->desc)
		snprintf(buf, 400, "%s", e->desc);
	return 0;
}

/* HDF5 tells a failed system call as "… errno = 28, error message = 'No space left on device', …": keep the message. */
void cop_h5_reason(char *buf, size_t size)
{
	char text[400] = "unknown reason";
	H5Ewalk2(H5E_DEFAULT, H5E_WALK_UPWARD, innermost, text);
	char *message = strstr(text, "error message = '");
	if (message) {
		message += strlen("error message = '");
		message[strcspn(message, "'")] = '\0';
	} else {
		message = text;
	}
	snprintf(buf, size, "%s", message);
}

int cop_h5_fail(struct cop_err *err, int code, const struct cop_h5 *f, const char *what, const char *subject)
{
	char reason[400];
	cop_h5_reason(reason, sizeof(reason));
	if (subject)
		return cop_fail(err, code, "%s '%s' in '%s': %s", what, subject, f->path, reason);
	return cop_fail(err, code, "%s '%s': %s", what, f->path, reason);
}

hid_t cop_h5_id(const struct cop_h5 *f)
{
	return f->id;
}

const char *cop_h5_path(const struct cop_h5 *f)
{
	return f->path;
}

const char *cop_h5_format(const struct cop_h5 *f)
{
	return f->format ? f->format : "";
}

/* Made once and kept: where thousands of small files are opened it would be a tenth of the time. */
hid_t cop_h5_access_list(void)
{
	static hid_t fapl = -1;
	if (fapl >= 0)
		return fapl;
	fapl = H5Pcreate(H5P_FILE_ACCESS);
	H5Pset_fclose_degree(fapl, H5F_CLOSE_STRONG);
#if H5_VERSION_GE(1, 10, 7)
	/* locks are refused by many shared file systems; atomic renames make them needless */
	H5Pset_file_locking(fapl, 0, 1);
#endif
	return fapl;
}

struct cop_h5 *cop_h5_new(const char *path)
{
	cop_h5_quiet();
	struct cop_h5 *f = cop_xcalloc(1, sizeof(*f));
	f->path = cop_xstrdup(path);
	f->id = -1;
	return f;
}

static void free_file(struct cop_h5 *f)
{
	free(f->path);
	free(f->temporary);
	free(f->format);
	free(f);
}

int cop_h5_create(struct cop_h5 **out, const char *path, const char *format, struct cop_err *err)
{
	struct cop_h5 *f = cop_h5_new(path);
	f->temporary = cop_temporary_name(path);
	f->format = cop_xstrdup(format);
	f->id = H5Fcreate(f->temporary, H5F_ACC_EXCL, H5P_DEFAULT, cop_h5_access_list());
	/* at once: the next call into HDF5 clears the reason */
	int rc = f->id < 0 ? cop_h5_fail(err, COP_EFAILED, f, "cannot create", NULL) : 0;
	if (!rc)
		rc = cop_h5_put_str(f, "/", "format", format, err);
	if (!rc)
		rc = cop_h5_put_i64(f, "/", "version", FORMAT_VERSION, err);
	if (!rc)
		rc = cop_h5_put_str(f, "/", "coppice", cop_version(), err);
	if (rc) {
		cop_h5_abandon(f);
		return rc;
	}
	*out = f;
	return 0;
}

int cop_h5_commit(struct cop_h5 *f, struct cop_err *err)
{
	int rc = 0;
	if (f->late.code)
		rc = cop_fail(err, f->late.code, "%s", f->late.msg);
	if (!rc)
		rc = cop_h5_put_i64(f, "/", "complete", 1, err);
	if (!rc && H5Fflush(f->id, H5F_SCOPE_GLOBAL) < 0)
		rc = cop_h5_fail(err, COP_EFAILED, f, "cannot write", NULL);
	if (!rc && H5Fclose(f->id) < 0)
		rc = cop_h5_fail(err, COP_EFAILED, f, "cannot close", NULL);
	else if (!rc)
		f->id = -1;
	if (rc) {
		cop_h5_abandon(f);
		return rc;
	}
	rc = cop_rename_into_place(f->temporary, f->path, err);
	free_file(f);
	return rc;
}

void cop_h5_abandon(struct cop_h5 *f)
{
	if (!f)
		return;
	int kept = errno;
	if (f->id >= 0)
		H5Fclose(f->id);
	if (f->temporary)
		cop_temporary_remove(f->temporary);
	free_file(f);
	errno = kept;
}

int cop_h5_check_format(struct cop_h5 *f, const char *format, struct cop_err *err)
{
	int64_t version = 0, complete = 0;
	if (strcmp(cop_h5_format(f), format) != 0)
		return cop_fail(err, COP_EINPUT, "'%s' is no %s file (%s)", f->path, format,
				f->format ? f->format : "no format given");
	int rc = cop_h5_get_i64(f, "/", "version", &version, err);
	if (!rc && version != FORMAT_VERSION)
		rc = cop_fail(err, COP_EINPUT, "'%s' has layout version %lld, this program knows %d", f->path,
			      (long long)version, FORMAT_VERSION);
	if (!rc && (cop_h5_get_i64(f, "/", "complete", &complete, NULL) || complete != 1))
		rc = cop_fail(err, COP_EINPUT, "'%s' is not complete: its writer did not finish", f->path);
	return rc;
}

int cop_h5_open(struct cop_h5 **out, const char *path, const char *format, struct cop_err *err)
{
	struct cop_h5 *f = cop_h5_new(path);
	int rc = 0;
	if (access(path, R_OK) < 0) {
		rc = cop_fail_errno(err, COP_EINPUT, "cannot open '%s'", path);
	} else {
		f->id = H5Fopen(path, H5F_ACC_RDONLY, cop_h5_access_list());
		if (f->id < 0)
			rc = cop_h5_fail(err, COP_EINPUT, f, "cannot read as HDF5", NULL);
	}
	if (!rc && cop_h5_has_attr(f, "/", "format"))
		rc = cop_h5_get_str(f, "/", "format", &f->format, err);
	if (!rc && format)
		rc = cop_h5_check_format(f, format, err);
	if (rc) {
		cop_h5_close(f);
		return rc;
	}
	*out = f;
	return 0;
}

void cop_h5_close(struct cop_h5 *f)
{
	if (!f)
		return;
	if (f->id >= 0)
		H5Fclose(f->id);
	free_file(f);
}

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
	H5Sclose(space);
	if (at >= 0)
		H5Oclose(at);
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

/* Variable-length UTF-8. Attributes hold up to 64 KiB; a longer text is an error of HDF5's, reported as such. */
static hid_t string_type(void)
{
	hid_t t = H5Tcopy(H5T_C_S1);
	H5Tset_size(t, H5T_VARIABLE);
	H5Tset_cset(t, H5T_CSET_UTF8);
	return t;
}

int cop_h5_put_str(struct cop_h5 *f, const char *object, const char *name, const char *v, struct cop_err *err)
{
	hid_t t = string_type();
	int rc = put_attr(f, object, name, t, t, 1, true, &v, err);
	H5Tclose(t);
	return rc;
}

/* An attribute of the root is asked for without a walk to it: thousands of small files are read for theirs. */
static hid_t open_attr(struct cop_h5 *f, const char *object, const char *name)
{
	if (strcmp(object, "/") == 0)
		return H5Aopen(f->id, name, H5P_DEFAULT);
	return H5Aopen_by_name(f->id, object, name, H5P_DEFAULT, H5P_DEFAULT);
}

static int get_attr(struct cop_h5 *f, const char *object, const char *name, hid_t type, size_t count, void *v,
		    struct cop_err *err)
{
	int rc = 0;
	hid_t attr = open_attr(f, object, name);
	hid_t space = attr < 0 ? -1 : H5Aget_space(attr);
	if (attr < 0)
		rc = cop_fail(err, COP_EINPUT, "'%s' lacks attribute '%s' of '%s'", f->path, name, object);
	else if (H5Sget_simple_extent_npoints(space) != (hssize_t)count)
		rc = cop_fail(err, COP_EINPUT, "attribute '%s' of '%s' in '%s' does not have %zu elements", name,
			      object, f->path, count);
	else if (H5Aread(attr, type, v) < 0)
		rc = cop_h5_fail(err, COP_EINPUT, f, "cannot read attribute", name);
	if (space >= 0)
		H5Sclose(space);
	if (attr >= 0)
		H5Aclose(attr);
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

static int read_string(hid_t attr, char **v)
{
	hid_t stored = H5Aget_type(attr);
	int rc = -1;
	if (H5Tget_class(stored) == H5T_STRING && H5Tis_variable_str(stored) > 0) {
		char *got = NULL;
		rc = H5Aread(attr, stored, &got) < 0 ? -1 : 0;
		if (!rc) {
			*v = cop_xstrdup(got ? got : "");
			H5free_memory(got);
		}
	} else if (H5Tget_class(stored) == H5T_STRING) {
		char *got = cop_xcalloc(H5Tget_size(stored) + 1, 1);
		rc = H5Aread(attr, stored, got) < 0 ? -1 : 0;
		*v = rc ? NULL : got;
		if (rc)
			free(got);
	}
	H5Tclose(stored);
	return rc;
}

int cop_h5_get_str(struct cop_h5 *f, const char *object, const char *name, char **v, struct cop_err *err)
{
	hid_t attr = open_attr(f, object, name);
	if (attr < 0)
		return cop_fail(err, COP_EINPUT, "'%s' lacks attribute '%s' of '%s'", f->path, name, object);
	int rc = 0;
	hid_t space = H5Aget_space(attr);
	if (H5Sget_simple_extent_npoints(space) != 1 || read_string(attr, v) < 0)
		rc = cop_fail(err, COP_EINPUT, "attribute '%s' of '%s' in '%s' is no string", name, object, f->path);
	H5Sclose(space);
	H5Aclose(attr);
	return rc;
}

bool cop_h5_has_attr(struct cop_h5 *f, const char *object, const char *name)
{
	if (strcmp(object, "/") == 0)
		return H5Aexists(f->id, name) > 0;
	return H5Aexists_by_name(f->id, object, name, H5P_DEFAULT) > 0;
}

bool cop_h5_has(struct cop_h5 *f, const char *path)
{
	/* every group on the way must exist before the next may be asked for */
	char *part = cop_xstrdup(path);
	bool there = true;
	for (char *p = part + 1; there; p++) {
		if (*p != '/' && *p != '\0')
			continue;
		char kept = *p;
		*p = '\0';
		there = H5Lexists(f->id, part, H5P_DEFAULT) > 0 && H5Oexists_by_name(f->id, part, H5P_DEFAULT) > 0;
		*p = kept;
		if (!kept)
			break;
	}
	free(part);
	return there;
}
