/* Arrays for tests, aligned as the engine's are; a test that gets none fails. The caller frees. */
#ifndef COP_TESTS_FLOATS_H
#define COP_TESTS_FLOATS_H

#include <stddef.h>

float *floats(size_t n); /* all 0 */
float *floats_of(size_t n, float value);

#endif
