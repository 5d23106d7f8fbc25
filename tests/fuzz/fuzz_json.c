/*
 * Experiments: any text is refused or read, what was read is written in a form that is read as the same, and its
 * network can be built or is refused.
 */
#include "base/json.h"
#include "nn/models.h"
#include "sweep/experiment.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static void read_again(const struct cop_experiment *e)
{
	struct cop_experiment again;
	struct cop_err err;
	char keys[256];
	char *text = cop_experiment_text(e);
	if (cop_experiment_load(&again, text, "written", NULL, 0, &err))
		abort();
	if (!cop_params_same(&cop_experiment_params, e, &again, 0, keys, sizeof(keys)))
		abort();
	cop_experiment_release(&again);
	free(text);
}

static void build(const struct cop_experiment *e)
{
	const int *usual = cop_model_usual((int)e->model.name);
	struct cop_graph g = {0};
	struct cop_err err;
	if (cop_model_build(&g, &e->model, usual[0], usual[1], usual[2], usual[3], &err) == 0)
		cop_graph_release(&g);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1);
	struct cop_experiment e;
	struct cop_err err;
	memcpy(text, data, size);
	text[size] = '\0';
	if (cop_experiment_load(&e, text, "fuzzed", NULL, 0, &err) == 0) {
		read_again(&e);
		build(&e);
		cop_experiment_release(&e);
	}
	const char *set = text;
	if (cop_experiment_load(&e, NULL, "nothing", &set, 1, &err) == 0)
		cop_experiment_release(&e);
	free(text);
	return 0;
}
