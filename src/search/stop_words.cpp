#include <algorithm>
#include <array>
#include <string>
#include <unordered_set>
#include <vector>

#include "analyser.hpp"

namespace knap::search {
namespace {

struct List {
  std::string_view code;
  std::string_view words;  ///< Folded: small letters, no diacritics.
};

/// Function words by language: articles, pronouns, auxiliaries, prepositions, question words.
constexpr List kLists[] = {
    {"en",
     "a about above after again against all also am an and any are aren as at be because been "
     "before being below "
     "between both but by can cannot could couldn did didn do does doesn doing don down during "
     "each few for from "
     "further had hadn has hasn have haven having he her here hers herself him himself his how i "
     "if in into is isn it "
     "its itself just ll may me might more most must my myself no nor not now of off on once only "
     "or other our ours "
     "ourselves out over own re same shall she should shouldn so some such than that the their "
     "theirs them "
     "themselves then there these they this those through to too under until up upon ve very was "
     "wasn we were weren "
     "what when where which while who whom whose why will with won would wouldn you your yours "
     "yourself yourselves"},
    {"de",
     "aber alle allem allen aller alles als also am an andere anderen anderer anderes auch auf aus "
     "bei beim bin bis "
     "bist da damit dann das dass dein deine dem den denn der des dessen deren die dies diese "
     "diesem diesen dieser "
     "dieses doch dort du durch ein eine einem einen einer eines einige er es etwas euch euer fur "
     "gegen gewesen hab "
     "habe haben hat hatte hatten hier hinter ich ihm ihn ihnen ihr ihre ihrem ihren ihrer im in "
     "indem ins ist ja "
     "jede jedem jeden jeder jedes jener kann kein keine keinem keinen keiner konnen konnte man "
     "manche mehr mein "
     "meine mit muss nach nicht nichts noch nun nur ob oder ohne sehr sein seine seinem seinen "
     "seiner seit selbst "
     "sich sie sind so solche soll sollte sondern sonst uber um und uns unser unter viel vom von "
     "vor wahrend wann war "
     "waren warum was weil welche welchem welchen welcher welches wem wen wenn wer werde werden "
     "wessen wie wieder "
     "wieviel viele will wir wird wirst wo wofur woher wohin wollen wurde wurden zu zum zur zwar "
     "zwischen"},
    {"fr",
     "a ai ainsi alors as au aucun aussi autre aux avait avec avoir c ce ceci cela celle celles "
     "celui ces cet cette "
     "ceux chaque chez comme comment d dans de depuis des donc dont du elle elles en encore entre "
     "est et etaient "
     "etait etant ete etes etre eu eux fait fut il ils j je jusqu l la le les leur leurs lors lui "
     "m ma mais me meme "
     "mes moi mon n ne ni nos notre nous on ont ou par parce pas pendant peut plus pour pourquoi "
     "qu quand que quel "
     "quelle quelles quels qui quoi s sa sans se selon ses si sinon soit son sont sous sur t ta te "
     "tes toi ton tous "
     "tout toute toutes tres tu un une vos votre vous y"},
    {"es",
     "a al algo algunas algunos ante antes aquel aquella como con contra cual cuales cuando cuanto "
     "de del desde donde "
     "dos durante e el ella ellas ellos en entre era eran es esa esas ese eso esos esta estaba "
     "estan estar estas este "
     "esto estos fue fueron ha haber habia han hasta hay la las le les lo los mas me mi mis mismo "
     "mucho muy nada ni "
     "no nos nosotros nuestra nuestro o os otra otros para pero poco por porque que quien quienes "
     "se sea segun ser si "
     "sido sin sobre son su sus tambien tanto te tiene tienen todo todos tu tus un una unas uno "
     "unos y ya yo"},
    {"it",
     "a ad agli ai al alla alle allo anche c che chi ci cio come con contro cosa cui d da dagli "
     "dai dal dalla dalle "
     "dallo degli dei del dell della delle dello di dove e ed era erano essere fra fu gli ha hai "
     "hanno ho i il in io "
     "l la le lei li lo loro lui ma mi mia mio ne negli nei nel nell nella nelle nello noi non "
     "nostra nostro o ogni "
     "per perche piu poi qual quale quali quando quanta quanto quella quelle quelli quello questa "
     "queste questi "
     "questo se sei si sia siamo sono sta su sua sue sugli sui sul sull sulla sulle sullo suo suoi "
     "te ti tra tu tutti "
     "tutto un una uno vi voi"},
    {"pt",
     "a ao aos aquela aquele aquilo as ate com como da das de dela dele deles depois do dos e ela "
     "elas ele eles em "
     "entre era eram essa essas esse esses esta estao estas estava este estes eu foi foram ha isso "
     "isto ja la lhe "
     "mais mas me mesmo meu meus minha muito na nao nas nem no nos nossa nosso num numa o onde os "
     "ou para pela pelas "
     "pelo pelos por porque qual quais quando quanto que quem sao se sem ser seu seus so sobre sua "
     "suas tambem te tem "
     "tinha um uma umas uns voce voces"},
    {"nl",
     "aan af al alle alles als altijd andere ben bij daar dan dat de der deze die dit doch doen "
     "door dus een en er ge "
     "geen geweest haar had heb hebben heeft hem het hier hij hoe hun iets ik in is ja je kan kon "
     "kunnen maar me meer "
     "men met mij mijn moet na naar niet niets nog nu of om omdat ons ook op over reeds te tegen "
     "toch toen tot u uit "
     "uw van veel voor waar waarom wanneer waren was wat welke werd wezen wie wij wil worden wordt "
     "zal ze zei zelf "
     "zich zij zijn zo zonder zou"},
    {"ru",
     "а без более бы был была были было быть в вам вас весь во вот все всего всех вы где да даже "
     "для до его ее если "
     "есть еще же за здесь и из или им их к как какая какие какои какое ко когда кто которая "
     "которые которыи ли лишь "
     "между меня мне много может мои мы на над надо нам нас не него нее нет ни них но ну о об "
     "однако он она они оно "
     "от очень по под почему при про с сам свое своего себя сеичас сколько со так также такие "
     "такои там те тем то "
     "тобои тогда того тоже только том тот ты у уже хотя чего чеи чем что чтобы эта эти это этого "
     "этои этом этот я"},
    {"sv",
     "alla allt an andra att av blev bli blir da de dem den denna deras dess det detta dig din du "
     "dar efter ej eller "
     "en er ett fran for ha hade han hans har henne hennes hon honom hur har i icke ingen inom "
     "inte jag ju kan kunde "
     "man med mellan men mig min mot mycket ni nu nar nagon nagot och om oss pa sedan sig sin sina "
     "sitt sjalv skulle "
     "som sa sadan till under upp ut utan vad var vara varfor vars vart vem vi vid vilka vilken "
     "vilket ar"},
    {"da",
     "af alle alt anden at blev blive bliver da de dem den denne der deres det dette dig din disse "
     "dog du efter "
     "eller en end er et for fra ham han hans har havde have hende hendes her hos hun hvad hvem "
     "hvilken hvilket hvis "
     "hvor hvordan hvorfor hvornar i ikke ind jeg jer jo kan kunne man mange med meget men mig min "
     "mit mod ned noget "
     "nogle nu nar og ogsa om op os over pa sig sin skal skulle som sadan til ud under var vi vil "
     "ville vor være "
     "været"},
    {"no",
     "alle andre at av bare ble blei blir bli da de deg dei dem den denne der dere deres det dette "
     "di din disse du "
     "eg ein eit eller en enn er et etter for fra fordi ha hadde han hans har henne hennes her hos "
     "hun hva hvem hver "
     "hvilken hvis hvor hvordan hvorfor i ikke ingen inn ja jeg kan kunne man mange med meg meget "
     "mellom men min mot "
     "mye ned noe noen na nar og ogsa om opp oss over pa seg selv sin sitt skal skulle slik som sa "
     "til um under ut "
     "uten var vart vi vil ville være vært"},
    {"fi",
     "ei eivat eika en etta ettei han hanen he heidan hyvin ja jo joka jonka jos jossa jota jotka "
     "kanssa keiden "
     "keita ken kenen ketka koska kuin kuinka kuka kun me meidan mika miksi millainen milloin "
     "minka mina minun missa "
     "mita mitka mukaan mutta myos ne nain niin niiden niita no nyt ole oli olivat olla on ovat "
     "paljonko se sen siina "
     "sina sita taman tama te tuo vai vaikka vain voi"},
};

std::string_view list_code(std::string_view code) {
  return code == "nb" || code == "nn" ? "no" : code;
}

class StopWords {
 public:
  StopWords() {
    for (const List& list : kLists) {
      auto& set = sets_[static_cast<std::size_t>(language_of(list.code))];
      for (std::size_t i = 0; i < list.words.size();) {
        const std::size_t end = std::min(list.words.find(' ', i), list.words.size());
        set.insert(list.words.substr(i, end - i));
        i = end + 1;
      }
    }
    for (const std::string_view code : {"nb", "nn"})
      sets_[static_cast<std::size_t>(language_of(code))] =
          sets_[static_cast<std::size_t>(language_of(list_code(code)))];
    for (const std::string_view code : {"", "*"})
      sets_[static_cast<std::size_t>(language_of(code))] =
          sets_[static_cast<std::size_t>(language_of("en"))];
  }
  bool has(std::string_view word, Language language) const {
    return sets_[static_cast<std::size_t>(language)].contains(word);
  }

 private:
  std::array<std::unordered_set<std::string_view>, kLanguagesMax> sets_;
};

}  // namespace

bool is_stop_word(std::string_view folded_word, Language language) {
  static const StopWords kStopWords;
  return kStopWords.has(folded_word, language);
}

}  // namespace knap::search
