#include "guest.h"

/* The C library's own streams, buffers and temporary files, line by line. */
int main(void)
{
	char line[64];
	int n = 0;
	FILE *f = fopen("f", "w+");

	CHECK(f);
	for (int i = 0; i < 5000; i++) {
		if (i % 1000 == 0)
			hop();
		CHECK(fprintf(f, "line %d\n", i) > 0);
	}
	rewind(f);
	while (fgets(line, sizeof line, f))
		CHECK(atoi(line + 5) == n++);
	CHECK(n == 5000 && feof(f) && fclose(f) == 0);
	hop();
	CHECK((f = tmpfile()) && fputs("tmp", f) >= 0 && fflush(f) == 0 && ftell(f) == 3 && fclose(f) == 0);
	success();
	return 0;
}
