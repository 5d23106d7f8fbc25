/* HDF5 files: opening and closing; see h5.h. */
#include "store/h5.h"

#include "base/file.h"
#include "base/mem.h"
#include "base/version.h"
#include "store/h5_priv.h"

#include <errno.h>
#include <stdarg.h>
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

/* Sets a bool where memory was wanting, or a call of the system failed for a file that is there. */
static herr_t look_for_system(unsigned n, const H5E_error2_t *e, void *user)
{
	const char *number = e->desc ? strstr(e->desc, "errno = ") : NULL;
	int why = number ? (int)strtol(number + strlen("errno = "), NULL, 10) : 0;
	(void)n;
	if (e->min_num == H5E_NOSPACE || e->min_num == H5E_CANTALLOC ||
	    (why && why != ENOENT && why != EISDIR && why != ENOTDIR && why != EACCES))
		*(bool *)user = true;
	return 0;
}

/* A file whose reading failed for a reason outside it is no bad input: it may be read well the next time. */
int cop_h5_code(int code)
{
	bool system = false;
	if (code == COP_EINPUT)
		H5Ewalk2(H5E_DEFAULT, H5E_WALK_UPWARD, look_for_system, &system);
	return system ? COP_EFAILED : code;
}

int cop_h5_fail(struct cop_err *err, int code, const struct cop_h5 *f, const char *what, const char *subject)
{
	char reason[400];
	code = cop_h5_code(code);
	cop_h5_reason(reason, sizeof(reason));
	if (subject)
		return cop_fail(err, code, "%s '%s' in '%s': %s", what, subject, f->path, reason);
	return cop_fail(err, code, "%s '%s': %s", what, f->path, reason);
}

int cop_h5_lacks(struct cop_err *err, const struct cop_h5 *f, const char *fmt, ...)
{
	char what[300];
	va_list ap;
	if (f->late.code)
		return cop_fail(err, f->late.code, "%s", f->late.msg);
	va_start(ap, fmt);
	vsnprintf(what, sizeof(what), fmt, ap);
	va_end(ap);
	return cop_fail(err, COP_EINPUT, "'%s' %s", f->path, what);
}

void cop_h5_close_all(const hid_t *id, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (id[i] >= 0)
			H5Idec_ref(id[i]);
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

static bool set_access(hid_t fapl)
{
	bool set = fapl >= 0 && H5Pset_fclose_degree(fapl, H5F_CLOSE_STRONG) >= 0;
#if H5_VERSION_GE(1, 10, 7)
	/* locks are refused by many shared file systems; atomic renames make them needless */
	set = set && H5Pset_file_locking(fapl, 0, 1) >= 0;
#endif
	return set;
}

/* Made once and kept: where thousands of small files are opened it would be a tenth of the time. -1: cannot be made. */
hid_t cop_h5_access_list(void)
{
	static hid_t kept = -1;
	if (kept < 0) {
		hid_t fapl = H5Pcreate(H5P_FILE_ACCESS);
		kept = set_access(fapl) ? fapl : -1;
	}
	return kept;
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
	if (!rc) {
		if (H5Fclose(f->id) < 0)
			rc = cop_h5_fail(err, COP_EFAILED, f, "cannot write", NULL);
		/* gone either way: closing again what could not be closed crashes the library */
		f->id = -1;
	}
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
	if (!rc && cop_h5_has_attr(f, "/", "complete"))
		rc = cop_h5_get_i64(f, "/", "complete", &complete, err);
	if (!rc && complete != 1)
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

/* What could not be found out counts as there: whoever then reads it is told why it could not. */
static bool is_there(struct cop_h5 *f, htri_t answer, const char *name)
{
	if (answer < 0 && !f->late.code)
		cop_h5_fail(&f->late, COP_EINPUT, f, "cannot look for", name);
	return answer != 0;
}

bool cop_h5_has_attr(struct cop_h5 *f, const char *object, const char *name)
{
	htri_t answer = strcmp(object, "/") == 0 ? H5Aexists(f->id, name)
						 : H5Aexists_by_name(f->id, object, name, H5P_DEFAULT);
	return is_there(f, answer, name);
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
		there = is_there(f, H5Lexists(f->id, part, H5P_DEFAULT), path) &&
			is_there(f, H5Oexists_by_name(f->id, part, H5P_DEFAULT), path);
		*p = kept;
		if (!kept)
			break;
	}
	free(part);
	return there;
}
