/* What is in a file; see show.h. */
#include "report/show.h"

#include "base/file.h"
#include "base/str.h"
#include "report/show_network.h"
#include "report/show_priv.h"
#include "store/cell.h"
#include "store/checkpoint.h"
#include "store/connect.h"
#include "store/describe.h"
#include "store/results.h"
#include "sweep/run.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct {
	const char *format;
	int (*show)(struct cop_h5 *f, struct cop_sheet *s, struct cop_err *err);
} kinds[] = {
	{"coppice-dataset", cop_show_dataset},  {COP_CHECKPOINT_FORMAT, cop_show_checkpoint},
	{"coppice-mask", cop_show_mask},        {COP_CELL_FORMAT, cop_show_cell},
	{COP_RESULTS_FORMAT, cop_show_results}, {COP_CONNECT_FORMAT, cop_show_line},
};

void cop_show_root(struct cop_h5 *f, struct cop_sheet *s)
{
	static const char *const names[] = {"coppice", "name", "experiment_hash"};
	cop_sheet_text(s, "file", cop_h5_path(f));
	cop_sheet_text(s, "format", cop_h5_format(f));
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		char *v = NULL;
		if (cop_h5_has_attr(f, "/", names[i]) && cop_h5_get_str(f, "/", names[i], &v, NULL) == 0)
			cop_sheet_text(s, names[i], v);
		free(v);
	}
}

static int add_dataset(struct cop_h5 *f, const char *path, void *user, struct cop_err *err)
{
	char type[COP_DESCRIPTION], shape[COP_DESCRIPTION];
	int rc = cop_h5_describe(f, path, type, shape, err);
	if (rc)
		return rc;
	cop_table_text(user, path);
	cop_table_text(user, type);
	cop_table_text(user, shape);
	return 0;
}

int cop_show_tree(struct cop_h5 *f, struct cop_sheet *s, struct cop_err *err)
{
	static const struct cop_column columns[] = {
		{"dataset", COP_COLUMN_TEXT, 0}, {"type", COP_COLUMN_TEXT, 0}, {"shape", COP_COLUMN_TEXT, 0}};
	cop_sheet_text(s, "file", cop_h5_path(f));
	cop_sheet_text(s, "format", *cop_h5_format(f) ? cop_h5_format(f) : "HDF5, not coppice's");
	return cop_h5_visit(f, "/", add_dataset, cop_sheet_table(s, "datasets", columns, 3), err);
}

static int show_h5(const char *path, struct cop_sheet *s, struct cop_err *err)
{
	struct cop_h5 *f;
	int rc = cop_h5_open(&f, path, NULL, err);
	if (rc)
		return rc;
	int (*show)(struct cop_h5 *, struct cop_sheet *, struct cop_err *) = cop_show_tree;
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (strcmp(cop_h5_format(f), kinds[i].format) == 0)
			show = kinds[i].show;
	if (show != cop_show_tree) {
		/* again, with its version and completeness checked */
		char *format = strdup(cop_h5_format(f));
		cop_h5_close(f);
		rc = format ? cop_h5_open(&f, path, format, err) : cop_fail(err, COP_EFAILED, "out of memory");
		free(format);
		if (rc)
			return rc;
	}
	rc = show(f, s, err);
	cop_h5_close(f);
	return rc;
}

static int show_run(const char *path, const struct cop_show_images *images, struct cop_sheet *s, struct cop_err *err)
{
	struct cop_run r;
	int rc = cop_run_open(&r, path, err);
	if (rc)
		return rc;
	cop_sheet_text(s, "run", path);
	cop_sheet_text(s, "name", r.experiment.name);
	cop_sheet_text(s, "experiment_hash", r.hash);
	cop_sheet_int(s, "cells", (int64_t)r.ncells);
	cop_sheet_int(s, "steps_per_epoch", r.steps_per_epoch);
	cop_sheet_int(s, "steps", r.total_steps);
	cop_sheet_json(s, "experiment", r.text);
	rc = cop_show_network(&r.experiment, images, s, err);
	cop_run_release(&r);
	return rc;
}

static int show_experiment(const char *path, const char *text, const struct cop_show_images *images,
			   struct cop_sheet *s, struct cop_err *err)
{
	struct cop_experiment e = {0};
	char hash[COP_HASH_TEXT];
	int rc = cop_experiment_load(&e, text, path, NULL, 0, err);
	if (rc)
		return rc;
	char *resolved = cop_experiment_text(&e);
	cop_experiment_hash(&e, hash);
	cop_sheet_text(s, "file", path);
	cop_sheet_text(s, "format", "coppice experiment");
	cop_sheet_text(s, "name", e.name);
	cop_sheet_text(s, "experiment_hash", hash);
	cop_sheet_json(s, "experiment", resolved);
	rc = cop_show_network(&e, images, s, err);
	if (rc)
		rc = cop_context(err, "'%s'", path);
	free(resolved);
	cop_experiment_release(&e);
	return rc;
}

/* Whether the first thing in it that is no white space is a brace. */
static int begins_as_json(const char *path, bool *json, struct cop_err *err)
{
	FILE *f = fopen(path, "r");
	if (!f)
		return cop_fail_errno(err, COP_EINPUT, "cannot open '%s'", path);
	int c;
	while ((c = fgetc(f)) == ' ' || c == '\t' || c == '\n' || c == '\r')
		continue;
	*json = c == '{';
	bool bad = ferror(f);
	if (fclose(f) != 0 || bad)
		return cop_fail(err, COP_EINPUT, "cannot read '%s'", path);
	return 0;
}

int cop_show(const char *path, const struct cop_show_images *images, struct cop_sheet *s, struct cop_err *err)
{
	static const struct cop_show_images none = {0};
	bool json = false;
	if (!images)
		images = &none;
	if (cop_is_folder(path))
		return show_run(path, images, s, err);
	int rc = begins_as_json(path, &json, err);
	if (rc)
		return rc;
	if (!json && (images->channels || images->classes))
		return cop_fail(err, COP_EINPUT,
				"'%s' is no experiment and no run, so '--input' and '--classes' mean nothing for it",
				path);
	if (!json)
		return show_h5(path, s, err);
	char *text;
	size_t len;
	rc = cop_read_file(path, &text, &len, err);
	if (!rc) {
		rc = show_experiment(path, text, images, s, err);
		free(text);
	}
	return rc;
}
