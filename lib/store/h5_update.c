/* HDF5 files: a new version of one that is there; see h5.h. */
#include "base/file.h"
#include "base/mem.h"
#include "base/version.h"
#include "base/xxhash.h"
#include "store/h5_priv.h"

static int open_copy(struct cop_h5 *f, const char *format, struct cop_err *err)
{
	f->id = H5Fopen(f->temporary, H5F_ACC_RDWR, cop_h5_access_list());
	if (f->id < 0)
		return cop_h5_fail(err, COP_EINPUT, f, "cannot read as HDF5", NULL);
	int rc = 0;
	if (cop_h5_has_attr(f, "/", "format"))
		rc = cop_h5_get_str(f, "/", "format", &f->format, err);
	if (!rc)
		rc = cop_h5_check_format(f, format, err);
	if (!rc)
		rc = cop_h5_drop_attr(f, "complete", err);
	if (!rc)
		rc = cop_h5_drop_attr(f, "coppice", err);
	return rc ? rc : cop_h5_put_str(f, "/", "coppice", cop_version(), err);
}

int cop_h5_update(struct cop_h5 **out, const char *path, const char *format, uint64_t sum, struct cop_err *err)
{
	uint64_t got = 0;
	struct cop_h5 *f = cop_h5_new(path);
	f->temporary = cop_temporary_name(path);
	int rc = cop_xxh_file(path, f->temporary, &got, err);
	/* before HDF5 sees it, which may crash over a damaged file */
	if (!rc && got != sum)
		rc = cop_fail(err, COP_EINPUT, "'%s' is not what was written", path);
	if (!rc)
		rc = open_copy(f, format, err);
	if (rc) {
		cop_h5_abandon(f);
		return rc;
	}
	*out = f;
	return 0;
}

int cop_h5_drop(struct cop_h5 *f, const char *path, struct cop_err *err)
{
	if (cop_h5_has(f, path) && H5Ldelete(f->id, path, H5P_DEFAULT) < 0)
		return cop_h5_fail(err, COP_EFAILED, f, "cannot take out", path);
	return 0;
}

int cop_h5_drop_attr(struct cop_h5 *f, const char *name, struct cop_err *err)
{
	if (cop_h5_has_attr(f, "/", name) && H5Adelete(f->id, name) < 0)
		return cop_h5_fail(err, COP_EFAILED, f, "cannot take out attribute", name);
	return 0;
}
