# Writes models.yaml as a C++ source, so that the program needs no file beside it.
# cmake -DINPUT=models.yaml -DOUTPUT=shipped_catalogue.cpp -P embed_catalogue.cmake
file(READ ${INPUT} text)
file(WRITE ${OUTPUT} "// Made from models.yaml by embed_catalogue.cmake.
#include \"catalogue.hpp\"

namespace knap::models {
std::string_view shipped_catalogue() {
  static constexpr std::string_view kText = R\"knap(${text})knap\";
  return kText;
}
}  // namespace knap::models
")
