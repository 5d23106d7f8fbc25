/* coppice pack: images, IDX files or synthetic glyphs into one HDF5 dataset. */
#include "base/mem.h"
#include "commands.h"
#include "data/pack.h"
#include "report/table.h"
#include "report/text.h"

#include <cjson/cJSON.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CLASSES_SHOWN = 100 };

enum {
	KEY_SYNTHETIC = 0x100,
	KEY_TRAIN,
	KEY_TEST,
	KEY_SEED,
	KEY_SIZE,
	KEY_RESIZE,
	KEY_CHANNELS,
	KEY_SKIP,
	KEY_FORCE,
	KEY_JSON
};

static const struct argp_option options[] = {
	{"synthetic", KEY_SYNTHETIC, "KIND", 0, "draw the images instead of reading them: glyphs", 1},
	{"train", KEY_TRAIN, "N", 0, "training images to draw (12000)", 1},
	{"test", KEY_TEST, "N", 0, "test images to draw (2000)", 1},
	{"seed", KEY_SEED, "N", 0, "seed of what is drawn (1)", 1},
	{"size", KEY_SIZE, "S", 0, "scale each image's shorter side to S and crop the middle S x S", 2},
	{"resize", KEY_RESIZE, "crop|stretch", 0, "with --size: crop the middle (the default), or squeeze all of it in",
	 2},
	{"channels", KEY_CHANNELS, "1|3", 0, "store grey (1) or RGB (3), whatever the first image is", 2},
	{"skip-broken", KEY_SKIP, NULL, 0, "leave out images that cannot be read, instead of refusing all", 2},
	{"threads", 't', "N", 0, "threads that decode images (default: all that the process may use)", 2},
	{"force", KEY_FORCE, NULL, 0, "replace DATA.h5 where it exists", 3},
	{"json", KEY_JSON, NULL, 0, "tell what was packed as JSON", 3},
	{0},
};

struct arguments {
	struct cop_pack_options pack;
	const char *path;
	bool json, resizing;
	const char *drawing, *reading; /* the last option that is for one kind of source only */
};

static void finish(struct argp_state *state, struct arguments *a)
{
	const char *source = state->argc - state->next == 2 ? state->argv[state->next] : NULL;
	if (a->pack.synthetic && state->argc - state->next != 1)
		argp_error(state, "--synthetic wants DATA.h5 and no SRC");
	if (!a->pack.synthetic && !source)
		argp_error(state, "SRC and DATA.h5 are wanted");
	if (a->pack.synthetic && a->reading)
		argp_error(state, "%s is for folders of images, not for --synthetic", a->reading);
	if (!a->pack.synthetic && a->drawing)
		argp_error(state, "%s is for --synthetic", a->drawing);
	if (a->resizing && a->pack.size == 0)
		argp_error(state, "--resize says how: --size S is wanted, too");
	a->pack.source = source;
	a->path = state->argv[state->argc - 1];
	state->next = state->argc;
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct arguments *a = state->input;
	switch (key) {
	case KEY_SYNTHETIC:
		a->pack.synthetic = arg;
		break;
	case KEY_TRAIN:
		a->pack.n[COP_SPLIT_TRAIN] = cop_arg_int(state, a->drawing = "--train", arg, 1, INT32_MAX);
		break;
	case KEY_TEST:
		a->pack.n[COP_SPLIT_TEST] = cop_arg_int(state, a->drawing = "--test", arg, 1, INT32_MAX);
		break;
	case KEY_SEED:
		a->pack.seed = (uint64_t)cop_arg_int(state, a->drawing = "--seed", arg, 0, INT64_MAX);
		break;
	case KEY_SIZE:
		a->pack.size = (int)cop_arg_int(state, a->reading = "--size", arg, 1, 4096);
		break;
	case KEY_CHANNELS:
		a->pack.channels = (int)cop_arg_int(state, a->reading = "--channels", arg, 1, 3);
		if (a->pack.channels == 2)
			argp_error(state, "--channels wants 1 or 3");
		break;
	case KEY_RESIZE:
		a->reading = "--resize";
		a->resizing = true;
		if (strcmp(arg, "crop") != 0 && strcmp(arg, "stretch") != 0)
			argp_error(state, "--resize wants crop or stretch, not '%s'", arg);
		a->pack.resize = strcmp(arg, "crop") == 0 ? COP_RESIZE_CROP : COP_RESIZE_STRETCH;
		break;
	case KEY_SKIP:
		a->reading = "--skip-broken";
		a->pack.skip_broken = true;
		break;
	case 't':
		a->pack.threads = (int)cop_arg_int(state, a->reading = "--threads", arg, 1, 4096);
		break;
	case KEY_FORCE:
		a->pack.force = true;
		break;
	case KEY_JSON:
		a->json = true;
		break;
	case ARGP_KEY_ARGS:
		finish(state, a);
		break;
	case ARGP_KEY_NO_ARGS:
		argp_error(state, "SRC and DATA.h5 are wanted (or --synthetic glyphs DATA.h5)");
		break;
	default:
		return ARGP_ERR_UNKNOWN;
	}
	return 0;
}

static const struct argp argp = {
	.options = options,
	.parser = parse,
	.args_doc = "SRC DATA.h5\n--synthetic glyphs DATA.h5",
	.doc = "Packs images into one HDF5 dataset and tells what is in it.\vSRC is a folder of IDX files "
	       "(train-images-idx3-ubyte, train-labels-idx1-ubyte, t10k-..., plain or .gz), a folder of "
	       "CIFAR-10's or CIFAR-100's binary batches (data_batch_1.bin, ..., or train.bin, test.bin), or a folder "
	       "SPLIT/CLASS/*.{png,jpg,jpeg} with the splits train and test (or val), as ImageNet's is. Colour "
	       "profiles and EXIF's orientation are not applied.",
};

/* What stands in the file: read back, so that the table shows what others will find. */
struct contents {
	struct cop_dataset_info info;
	int64_t *count[COP_SPLITS]; /* (nclasses) */
};

static int count_split(struct contents *c, enum cop_split split, struct cop_err *err)
{
	int32_t *label = NULL;
	int rc = cop_alloc(&c->count[split], (size_t)c->info.nclasses, sizeof(int64_t), "classes", err);
	if (!rc && c->info.n[split])
		rc = cop_dataset_read_labels(&c->info, split, &label, err);
	for (int64_t i = 0; !rc && i < c->info.n[split]; i++)
		c->count[split][label[i]]++;
	free(label);
	return rc;
}

static void release_contents(struct contents *c)
{
	for (int split = 0; split < COP_SPLITS; split++)
		free(c->count[split]);
	cop_dataset_info_release(&c->info);
}

static int read_contents(const char *path, struct contents *c, struct cop_err *err)
{
	*c = (struct contents){0};
	int rc = cop_dataset_info_read(path, &c->info, err);
	for (int split = 0; !rc && split < COP_SPLITS; split++)
		rc = count_split(c, split, err);
	if (rc)
		release_contents(c);
	return rc;
}

static const struct cop_column class_columns[] = {
	{"class", COP_COLUMN_TEXT, 0},
	{"train", COP_COLUMN_INT, 0},
	{"test", COP_COLUMN_INT, 0},
};

static void fill_classes(struct cop_table *t, const struct contents *c)
{
	cop_table_init(t, class_columns, 3);
	for (int i = 0; i < c->info.nclasses; i++) {
		cop_table_text(t, c->info.classes[i]);
		cop_table_int(t, c->count[COP_SPLIT_TRAIN][i]);
		cop_table_int(t, c->count[COP_SPLIT_TEST][i]);
	}
}

static const struct cop_column channel_columns[] = {
	{"channel", COP_COLUMN_INT, 0},
	{"mean", COP_COLUMN_REAL, 4},
	{"std", COP_COLUMN_REAL, 4},
};

static void fill_channels(struct cop_table *t, const struct cop_dataset_info *d)
{
	cop_table_init(t, channel_columns, 3);
	for (int i = 0; i < d->channels; i++) {
		cop_table_int(t, i);
		cop_table_real(t, (double)d->mean[i]);
		cop_table_real(t, (double)d->std[i]);
	}
}

static void print_text(const struct contents *c)
{
	const struct cop_dataset_info *d = &c->info;
	char *path = cop_text_clean(d->path);
	struct cop_table t;
	printf("%s: %" PRId64 " training and %" PRId64 " test images of %dx%dx%d in %d classes\nfingerprint %s\n\n",
	       path, d->n[COP_SPLIT_TRAIN], d->n[COP_SPLIT_TEST], d->height, d->width, d->channels, d->nclasses,
	       d->fingerprint);
	free(path);
	fill_channels(&t, d);
	cop_table_print(&t, stdout, false);
	cop_table_release(&t);
	if (d->nclasses > CLASSES_SHOWN) {
		printf("\nMore than %d classes: --json lists them.\n", CLASSES_SHOWN);
		return;
	}
	printf("\n");
	fill_classes(&t, c);
	cop_table_print(&t, stdout, false);
	cop_table_release(&t);
}

static void print_json(const struct contents *c)
{
	const struct cop_dataset_info *d = &c->info;
	struct cop_table t;
	cJSON *json = cJSON_CreateObject();
	char *path = cop_text_clean(d->path);
	cJSON_AddStringToObject(json, "path", path);
	free(path);
	cJSON_AddNumberToObject(json, "train", (double)d->n[COP_SPLIT_TRAIN]);
	cJSON_AddNumberToObject(json, "test", (double)d->n[COP_SPLIT_TEST]);
	cJSON_AddItemToObject(json, "shape", cJSON_CreateIntArray((int[]){d->height, d->width, d->channels}, 3));
	cJSON_AddStringToObject(json, "fingerprint", d->fingerprint);
	fill_channels(&t, d);
	cJSON_AddItemToObject(json, "channels", cop_table_json(&t));
	cop_table_release(&t);
	fill_classes(&t, c);
	cJSON_AddItemToObject(json, "classes", cop_table_json(&t));
	cop_table_release(&t);
	char *text = cJSON_Print(json);
	puts(text);
	cJSON_free(text);
	cJSON_Delete(json);
}

int cmd_pack(int argc, char **argv)
{
	struct arguments a = {.pack = cop_pack_defaults};
	struct cop_err err = {0};
	struct contents c;
	cop_parse_args(&argp, argc, argv, &a);
	cop_console_start(false);
	int rc = cop_pack(a.path, &a.pack, &err);
	if (!rc)
		rc = read_contents(a.path, &c, &err);
	if (rc)
		return cop_report_error(&err);
	if (a.json)
		print_json(&c);
	else
		print_text(&c);
	release_contents(&c);
	return 0;
}
