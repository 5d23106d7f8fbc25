/*
 * fill_cells RUN CELL: gives every cell of RUN that has no file the result of cell CELL, which is done, with the index,
 * the point of the grid and the counts that are its own. Nothing is synced: it is for measuring what reads them.
 */
#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"
#include "sweep/run.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static void move_to(struct cop_cell *c, const struct cop_point *p)
{
	struct cop_row *row = &c->row;
	row->index = p->index;
	row->replicate = p->replicate;
	row->round = p->round;
	row->quantile = p->quantile;
	row->threshold = 0.1 * p->quantile;
	snprintf(row->reset, sizeof(row->reset), "%s", p->reset);
	row->reset_step = p->reset_step;
	row->nnz = row->total - llround(p->quantile * (double)row->total);
	row->test_top1 = 0.98 - 0.3 * pow(p->quantile, 20) - 0.0001 * (double)(p->index % 7);
	row->test_top5 = 0.999;
}

static int fill(const struct cop_run *run, int64_t model, struct cop_err *err)
{
	struct cop_cell c;
	char *path = cop_run_cell(run, model);
	int rc = cop_cell_read(path, &c, err);
	free(path);
	if (rc)
		return rc;
	for (size_t i = 0; i < run->ncells && !rc; i++) {
		path = cop_run_cell(run, (int64_t)i);
		if (!cop_exists(path)) {
			move_to(&c, &run->cell[i]);
			rc = cop_cell_write(path, &c, run->text, NULL, NULL, NULL, NULL, NULL, err);
		}
		free(path);
	}
	cop_cell_release(&c);
	return rc;
}

int main(int argc, char **argv)
{
	struct cop_err err = {0};
	struct cop_run run;
	int64_t model = -1;
	if (argc != 3 || !cop_parse_i64(argv[2], &model)) {
		fprintf(stderr, "usage: fill_cells RUN CELL\n");
		return 2;
	}
	int rc = cop_run_open(&run, argv[1], &err);
	if (!rc) {
		rc = fill(&run, model, &err);
		cop_run_release(&run);
	}
	if (rc)
		fprintf(stderr, "fill_cells: %s\n", err.msg);
	return rc ? 1 : 0;
}

/* ten thousand files would take minutes to sync */
int fsync(int fd);
int fsync(int fd)
{
	(void)fd;
	return 0;
}
