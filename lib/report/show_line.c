/* Lines between cells, shown; see show.h. */
#include "report/show_priv.h"
#include "store/connect.h"

static void add_cells(struct cop_sheet *s, const struct cop_connection *c)
{
	cop_sheet_int(s, "first", c->first);
	cop_sheet_int(s, "second", c->second);
	cop_sheet_int(s, "replicate", c->replicate);
	cop_sheet_int(s, "round", c->round);
	cop_sheet_text(s, "criterion", c->criterion);
	cop_sheet_text(s, "retrain", c->retrain);
	cop_sheet_real(s, "quantile", c->quantile, 6);
	cop_sheet_text(s, "reset", c->reset);
	cop_sheet_int(s, "reset_step", c->reset_step);
	cop_sheet_int(s, "first_child", c->first_child);
	cop_sheet_int(s, "second_child", c->second_child);
	cop_sheet_int(s, "total", c->total);
	cop_sheet_int(s, "nnz", c->nnz);
}

static int columns_of(const struct cop_connection *c)
{
	return c->train_images ? COP_CONNECT_COLUMNS : COP_CONNECT_TRAIN_ERROR;
}

static void add_instabilities(struct cop_sheet *s, const struct cop_connection *c)
{
	for (int k = COP_CONNECT_TEST_ERROR; k < columns_of(c); k++) {
		const struct cop_barrier b = cop_barrier_of(c->column[k], c->points);
		if (k == COP_CONNECT_TEST_ERROR || k == COP_CONNECT_TRAIN_ERROR)
			cop_sheet_percent(s, cop_connect_instabilities[k], b.instability);
		else
			cop_sheet_real(s, cop_connect_instabilities[k], b.instability, 6);
	}
}

int cop_show_line(struct cop_h5 *f, struct cop_sheet *s, struct cop_err *err)
{
	static const struct cop_column columns[COP_CONNECT_COLUMNS] = {{"alpha", COP_COLUMN_REAL, 4},
								       {"test_error", COP_COLUMN_PERCENT, 2},
								       {"test_loss", COP_COLUMN_REAL, 4},
								       {"train_error", COP_COLUMN_PERCENT, 2},
								       {"train_loss", COP_COLUMN_REAL, 4}};
	struct cop_connection c;
	int rc = cop_connection_read(cop_h5_path(f), &c, err);
	if (rc)
		return rc;
	cop_show_root(f, s);
	add_cells(s, &c);
	cop_sheet_text(s, "statistics", c.statistics);
	cop_sheet_int(s, "batches", c.batches);
	cop_sheet_int(s, "train_images", c.train_images);
	add_instabilities(s, &c);
	struct cop_table *t = cop_sheet_table(s, "points", columns, (size_t)columns_of(&c));
	for (int64_t i = 0; i < c.points; i++)
		for (int k = 0; k < columns_of(&c); k++)
			cop_table_real(t, c.column[k][i]);
	cop_connection_release(&c);
	return 0;
}
