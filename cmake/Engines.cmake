# The inference engines as targets: knap::openvino, knap::llama and knap::whisper. They stand where script/bootstrap put them, in a
# cache shared by all clones; the versions are those of packages/engines.txt.
#
# Programs that link them run without LD_LIBRARY_PATH: CMake writes the folders into the program's search path, and
# --disable-new-dtags makes that path hold for what the engines' own libraries need (libopenvino names no folder for
# libtbb, nor for the plugins that it opens later).

if(DEFINED ENV{KNAP_CACHE_DIR})
  set(knap_cache_default $ENV{KNAP_CACHE_DIR})
elseif(DEFINED ENV{XDG_CACHE_HOME})
  set(knap_cache_default $ENV{XDG_CACHE_HOME}/knap)
else()
  set(knap_cache_default $ENV{HOME}/.cache/knap)
endif()
set(KNAP_CACHE_DIR ${knap_cache_default} CACHE PATH "Where script/bootstrap keeps downloads and engines")

# knap_find_engine(<name>): sets <name>_dir and <name>_version, or stops.
set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/packages/engines.txt)
function(knap_find_engine name)
  file(STRINGS ${CMAKE_SOURCE_DIR}/packages/engines.txt lines REGEX "^${name} ")
  list(GET lines 0 line)
  string(REGEX REPLACE "^${name} +([^ ]+) .*" "\\1" version "${line}")
  set(dir ${KNAP_CACHE_DIR}/engines/${name}-${version})
  if(NOT EXISTS ${dir}/stamp)
    message(FATAL_ERROR "${name} ${version} is missing in ${KNAP_CACHE_DIR}/engines: run ./script/bootstrap")
  endif()
  set(${name}_dir ${dir} PARENT_SCOPE)
  set(${name}_version ${version} PARENT_SCOPE)
endfunction()

knap_find_engine(openvino)
set(OpenVINO_DIR ${openvino_dir}/openvino/cmake)
find_package(OpenVINO ${openvino_version} EXACT REQUIRED CONFIG COMPONENTS Runtime)
add_library(knap_openvino INTERFACE)
target_link_libraries(knap_openvino INTERFACE openvino::runtime)
target_link_options(knap_openvino INTERFACE LINKER:--disable-new-dtags)
target_compile_definitions(knap_openvino INTERFACE KNAP_OPENVINO_VERSION="${openvino_version}")
add_library(knap::openvino ALIAS knap_openvino)

knap_find_engine(llama)
foreach(library IN ITEMS llama ggml ggml-base)
  add_library(knap_${library} SHARED IMPORTED)
  set_target_properties(knap_${library} PROPERTIES
    IMPORTED_LOCATION ${llama_dir}/lib/lib${library}.so
    INTERFACE_INCLUDE_DIRECTORIES ${llama_dir}/include)
endforeach()
add_library(knap_llama_engine INTERFACE)
target_link_libraries(knap_llama_engine INTERFACE knap_llama knap_ggml knap_ggml-base)
target_link_options(knap_llama_engine INTERFACE LINKER:--disable-new-dtags)
# What a backend of one's own is made of: the version of the sources is that of the libraries.
target_include_directories(knap_llama_engine SYSTEM INTERFACE ${llama_dir}/source/ggml/src)
# The folder to give to ggml_backend_load_all_from_path(): one CPU backend for each instruction set.
target_compile_definitions(knap_llama_engine INTERFACE
  KNAP_GGML_BACKEND_DIR="${llama_dir}/lib" KNAP_LLAMA_VERSION="${llama_version}"
  # gpu-KIND-VERSION stands there where script/bootstrap --gpu KIND was run, then or later.
  KNAP_ENGINES_DIR="${KNAP_CACHE_DIR}/engines")
add_library(knap::llama ALIAS knap_llama_engine)

# One source file on llama.cpp's ggml, so that a process has one ggml and one set of CPU backends.
knap_find_engine(whisper)
add_library(knap_whisper STATIC ${CMAKE_SOURCE_DIR}/cmake/whisper_unit.cpp)
target_include_directories(knap_whisper SYSTEM PUBLIC ${whisper_dir}/include ${CMAKE_SOURCE_DIR}/cmake
  PRIVATE ${whisper_dir}/src)
target_link_libraries(knap_whisper PUBLIC knap_llama_engine)
target_compile_features(knap_whisper PRIVATE cxx_std_17)
target_compile_options(knap_whisper PRIVATE -w)
target_compile_definitions(knap_whisper PRIVATE WHISPER_VERSION="${whisper_version}"
  INTERFACE KNAP_WHISPER_DATA_DIR="${whisper_dir}/data")
if(NOT CMAKE_BUILD_TYPE STREQUAL Release)
  target_compile_options(knap_whisper PRIVATE -O2)  # minutes for a clip of seconds otherwise
endif()
add_library(knap::whisper ALIAS knap_whisper)
