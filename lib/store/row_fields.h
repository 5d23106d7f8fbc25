/* The fields of struct cop_row as a table: a cell's attributes, the compound type of results.h5 and results.csv are
 * all made from it. Also the storing of layer counts, which cells and results share. */
#ifndef COP_STORE_ROW_FIELDS_H
#define COP_STORE_ROW_FIELDS_H

#include "store/cell.h"

enum cop_field_kind { COP_FIELD_I64, COP_FIELD_F64, COP_FIELD_TEXT }; /* TEXT: char[COP_TEXT] */

struct cop_row_field {
	const char *name;
	enum cop_field_kind kind;
	size_t offset;
	const char *otherwise; /* what it is in files of before it was there: "nan", "0", a text; NULL: all have it */
};

extern const struct cop_row_field cop_row_fields[];
extern const size_t cop_row_nfields;

/* A field that the file lacks: what it is otherwise. */
void cop_row_field_lacks(const struct cop_row_field *d, struct cop_row *row);

/* The row as attributes of the root. */
int cop_row_store(struct cop_h5 *f, const struct cop_row *row, struct cop_err *err) COP_CHECKED;

/* What tells later whether row, history and layers still are what was written. */
int cop_cell_store_digest(struct cop_h5 *f, const struct cop_cell *c, struct cop_err *err) COP_CHECKED;

int cop_layers_store(struct cop_h5 *f, const char *group, const struct cop_layer_count *layer, size_t n,
		     struct cop_err *err) COP_CHECKED;
int cop_layers_load(struct cop_h5 *f, const char *group, struct cop_layer_count **layer, size_t *n, struct cop_err *err)
	COP_CHECKED;

#endif
