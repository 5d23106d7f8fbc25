/* In place of libFuzzer: gives a target each of the files once, so that the seeds are tested without clang, too. */
#include "base/file.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int main(int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		char *text = NULL;
		size_t len = 0;
		struct cop_err err;
		if (cop_read_file(argv[i], &text, &len, &err)) {
			fprintf(stderr, "%s\n", err.msg);
			return 1;
		}
		/* without the zero behind it, so that a sanitizer sees a read beyond the end */
		uint8_t *data = malloc(len);
		for (size_t k = 0; k < len; k++)
			data[k] = (uint8_t)text[k];
		free(text);
		LLVMFuzzerTestOneInput(data, len);
		free(data);
	}
	printf("%d inputs\n", argc - 1);
	return argc > 1 ? 0 : 1;
}
