/* Runs a fuzz target over its corpus as a plain test: replay CORPUS. Without libFuzzer the same
 * inputs are still checked by every compiler and sanitizer. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int replay_file(const char *path)
{
    FILE *f = fopen(path, "rb");
    uint8_t *data = NULL;
    long size = -1;
    int rc = -1;

    if (f == NULL)
        return -1;
    if (fseek(f, 0, SEEK_END) == 0)
        size = ftell(f);
    if (size >= 0 && fseek(f, 0, SEEK_SET) == 0)
        data = malloc((size_t)size + 1);
    if (data != NULL && fread(data, 1, (size_t)size, f) == (size_t)size)
        rc = LLVMFuzzerTestOneInput(data, (size_t)size);
    free(data);
    (void)fclose(f); /* read only */
    return rc;
}

int main(int argc, char **argv)
{
    const uint8_t nothing[1] = { 0 };
    struct dirent *entry;
    size_t count = 0;
    DIR *dir;

    if (argc != 2) {
        (void)fprintf(stderr, "usage: %s CORPUS\n", argv[0]);
        return 2;
    }
    (void)LLVMFuzzerTestOneInput(nothing, 0); /* the empty input is always tried */
    dir = opendir(argv[1]);
    while (dir != NULL && (entry = readdir(dir)) != NULL) {
        char path[4096];

        if (entry->d_name[0] == '.')
            continue;
        (void)snprintf(path, sizeof(path), "%s/%s", argv[1], entry->d_name);
        if (replay_file(path) != 0) {
            (void)fprintf(stderr, "%s: cannot be read\n", path);
            return 1;
        }
        count++;
    }
    if (dir != NULL)
        (void)closedir(dir);
    printf("%zu inputs replayed\n", count);
    return 0;
}
