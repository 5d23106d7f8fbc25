/*
 * What is in a file: datasets, checkpoints, masks, cells and results as coppice writes them, any other HDF5 file as a
 * list of its datasets, an experiment (JSON) or a run's folder as the resolved experiment.
 */
#ifndef COP_REPORT_SHOW_H
#define COP_REPORT_SHOW_H

#include "base/err.h"
#include "report/sheet.h"

/* Images to show a network for; 0: as the experiment's dataset has them. */
struct cop_show_images {
	int channels, height, width; /* all or none */
	int classes;
};

/*
 * Adds what `path` holds to *s, which the caller releases whatever happens. `images` (NULL: none) is for what has a
 * network to show, an experiment or a run. COP_EINPUT where the file cannot be read, or has no use for `images`.
 */
int cop_show(const char *path, const struct cop_show_images *images, struct cop_sheet *s, struct cop_err *err)
	COP_CHECKED;

#endif
