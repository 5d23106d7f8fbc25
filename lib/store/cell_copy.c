/* Copying a cell's file for another cell; see cell.h. */
#include "base/mem.h"
#include "store/h5_priv.h"
#include "store/row_fields.h"

#include <stdlib.h>

struct copying {
	struct cop_h5 *to;
	struct cop_err *err;
};

static herr_t copy_link(hid_t from, const char *name, const H5L_info_t *info, void *user)
{
	struct copying *c = user;
	(void)info;
	if (H5Ocopy(from, name, cop_h5_id(c->to), name, H5P_DEFAULT, H5P_DEFAULT) >= 0)
		return 0;
	cop_h5_fail(c->err, COP_EFAILED, c->to, "cannot copy", name);
	return -1;
}

static int copy_text(struct cop_h5 *from, struct cop_h5 *to, const char *name, struct cop_err *err)
{
	char *text = NULL;
	int rc = cop_h5_get_str(from, "/", name, &text, err);
	if (!rc)
		rc = cop_h5_put_str(to, "/", name, text, err);
	free(text);
	return rc;
}

/* `cell` is what `from` holds, with the new row. */
static int copy_all(struct cop_h5 *from, struct cop_h5 *to, const struct cop_cell *cell, struct cop_err *err)
{
	struct cop_err why = {0};
	struct copying c = {to, &why};
	int rc = cop_row_store(to, &cell->row, err);
	if (!rc)
		rc = cop_cell_store_digest(to, cell, err);
	if (!rc)
		rc = copy_text(from, to, "experiment", err);
	if (!rc)
		rc = copy_text(from, to, "experiment_hash", err);
	if (!rc && H5Literate(cop_h5_id(from), H5_INDEX_NAME, H5_ITER_INC, NULL, copy_link, &c) < 0)
		rc = why.code ? cop_fail(err, why.code, "%s", why.msg)
			      : cop_h5_fail(err, COP_EFAILED, from, "cannot list", "/");
	return rc;
}

int cop_cell_copy(const char *from, const char *to, const struct cop_row *row, struct cop_err *err)
{
	struct cop_h5 *source = NULL, *copy;
	struct cop_cell cell;
	int rc = cop_cell_read(from, &cell, err);
	if (rc)
		return rc;
	cell.row = *row;
	rc = cop_h5_open(&source, from, COP_CELL_FORMAT, err);
	if (!rc)
		rc = cop_h5_create(&copy, to, COP_CELL_FORMAT, err);
	if (!rc) {
		rc = copy_all(source, copy, &cell, err);
		if (rc)
			cop_h5_abandon(copy);
		else
			rc = cop_h5_commit(copy, err);
	}
	cop_h5_close(source);
	cop_cell_release(&cell);
	return rc;
}
