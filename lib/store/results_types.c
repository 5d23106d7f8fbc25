/* The types of the tables of results.h5; see results_priv.h. */
#include "store/results_priv.h"
#include "store/row_fields.h"

#include <inttypes.h>
#include <stdio.h>

#define FIELD(name)                                            \
	{                                                      \
#name, offsetof(struct cop_dense, name), false \
	}
#define LATER_FIELD(name)                                     \
	{                                                     \
#name, offsetof(struct cop_dense, name), true \
	}
const struct cop_dense_field cop_dense_reals[COP_DENSE_REALS] = {
	FIELD(test_top1),
	FIELD(test_top5),
	FIELD(test_loss),
	FIELD(val_top1),
	FIELD(seconds),
	FIELD(images_per_second),
	FIELD(data_wait),
	FIELD(began),
	FIELD(ended),
	FIELD(joules),
	FIELD(gpus),
	LATER_FIELD(gpu_utilisation),
	LATER_FIELD(gpu_memory),
	LATER_FIELD(early_stop_step),
	LATER_FIELD(early_stop_val_top1),
	LATER_FIELD(early_stop_test_top1),
};
const struct cop_dense_field cop_dense_counts[COP_DENSE_COUNTS] = {FIELD(total), FIELD(cores)};

/* A type that lacks a column would lose it without a word. */
static hid_t all_or_none(hid_t row, bool all)
{
	if (row >= 0 && !all) {
		H5Tclose(row);
		return -1;
	}
	return row;
}

hid_t cop_row_type(void)
{
	hid_t row = H5Tcreate(H5T_COMPOUND, sizeof(struct cop_row));
	hid_t text = H5Tcopy(H5T_C_S1);
	bool all = H5Tset_size(text, COP_TEXT) >= 0 && H5Tset_cset(text, H5T_CSET_UTF8) >= 0;
	for (size_t i = 0; i < cop_row_nfields && all; i++) {
		const struct cop_row_field *d = &cop_row_fields[i];
		hid_t type = d->kind == COP_FIELD_I64   ? H5T_NATIVE_INT64
			     : d->kind == COP_FIELD_F64 ? H5T_NATIVE_DOUBLE
							: text;
		all = H5Tinsert(row, d->name, d->offset, type) >= 0;
	}
	cop_h5_close_all(&text, 1);
	return all_or_none(row, all);
}

hid_t cop_source_type(void)
{
	hid_t row = H5Tcreate(H5T_COMPOUND, sizeof(struct cop_source_row));
	bool all = H5Tinsert(row, "cell", offsetof(struct cop_source_row, cell), H5T_NATIVE_INT64) >= 0 &&
		   H5Tinsert(row, "size", offsetof(struct cop_source_row, stamp.size), H5T_NATIVE_INT64) >= 0 &&
		   H5Tinsert(row, "changed", offsetof(struct cop_source_row, stamp.changed), H5T_NATIVE_INT64) >= 0 &&
		   H5Tinsert(row, "inode", offsetof(struct cop_source_row, stamp.inode), H5T_NATIVE_INT64) >= 0;
	return all_or_none(row, all);
}

void cop_results_groups(int64_t index, char history[COP_GROUP_NAME], char layers[COP_GROUP_NAME])
{
	snprintf(history, COP_GROUP_NAME, "history/%06" PRId64, index);
	snprintf(layers, COP_GROUP_NAME, "layers/%06" PRId64, index);
}
