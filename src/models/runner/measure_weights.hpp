#pragma once

namespace knap::models::runner {

/// Body of `knap runner measure`: loads one model file, measures it and prints the figures as a
/// JSON object. A process of its own, because memory and load time are those of one model alone.
/// Arguments: --file GGUF --text FILE --tokens N --threads N --choices FILE (the likeliest token of
/// each scored position: compared when the file is there, written when not), --vectors FILE
/// (encoders: vectors of the lines of --text, as floats). Speech models have --clips FOLDER and
/// --language CODE in the place of --text: see measure_speech(). Returns the exit code.
int measure_main(int argc, char** argv);

}  // namespace knap::models::runner
