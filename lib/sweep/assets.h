/* Files that the program carries inside: the templates of the batch scripts. */
#ifndef COP_SWEEP_ASSETS_H
#define COP_SWEEP_ASSETS_H

struct cop_asset {
	const char *name; /* "dense.sbatch" */
	const char *text; /* with a terminating zero */
};

/* NULL: there is none of that name. */
const struct cop_asset *cop_asset_find(const char *name);

#endif
